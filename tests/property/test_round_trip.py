"""Whatever text or JSON goes in comes out the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import Relay, answer, inbox, make_agent, make_message, unique

#: Everything JSON can say but U+0000, which the contract of text fields leaves out on every store.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(ANY_TEXT, VALUES, max_size=5)
TERM = TEXT.filter(lambda text: 1 <= len(text) <= 128)
TERMS = st.lists(TERM, max_size=3, unique=True)
SHORT = TEXT.filter(lambda text: len(text) <= 256) | st.none()

MESSAGES = st.fixed_dictionaries(
    {"body": TEXT.filter(bool), "subject": TEXT | st.none(), "channel": TERM | st.none(), "meta": OBJECTS}
)
AGENTS = st.fixed_dictionaries(
    {
        "labels": TERMS, "tags": TERMS, "capabilities": TERMS, "rig": SHORT, "project": SHORT, "host": SHORT,
        "version": SHORT,
        "meta": OBJECTS, "promptChars": st.integers(0, 2**63 - 1),
        "wakePaths": st.lists(st.fixed_dictionaries({"name": TEXT, "armed": st.booleans(),
        "lastProvedAt": st.none()}), max_size=3),
    }
)  # fmt: skip


def same(given: dict[str, Any], shown: dict[str, Any]) -> None:
    assert {name: shown[name] for name in given} == given


@settings(max_examples=60)
@given(message=MESSAGES)
def test_a_message_comes_out_as_it_went_in(relay_of_all_examples: Relay, message: dict[str, Any]) -> None:
    relay, agent = relay_of_all_examples, unique("agent")
    make_agent(relay, id=agent)
    sent = make_message(relay, to=agent, **message)
    same(message, sent)
    same(message, answer(relay.get(f"/messages/{sent['id']}")))
    same(message, inbox(relay, agent)[0])
    with relay.open(f"/events?for={agent}") as stream:
        same(message, stream.next().data)
    if message["channel"] is not None:
        found = answer(relay.get("/messages", params={"channel": message["channel"], "limit": 1}))["messages"]
        assert [each["id"] for each in found] == [sent["id"]]


@settings(max_examples=25)
@given(agent=AGENTS)
def test_an_agent_comes_out_as_it_went_in(relay_of_all_examples: Relay, agent: dict[str, Any]) -> None:
    relay = relay_of_all_examples
    agent_id = make_agent(relay, **agent)
    same(agent, answer(relay.get(f"/agents/{agent_id}")))
    for prefix, name in (("tag", "tags"), ("cap", "capabilities"), ("label", "labels")):
        for term in agent[name]:
            sent = make_message(relay, to=f"{prefix}:{term}")
            assert sent["recipients"] >= 1
            assert [each["id"] for each in inbox(relay, agent_id, sinceId=sent["id"] - 1)] == [sent["id"]]
            listed = answer(relay.get("/agents", params={prefix: term, "limit": 500}))["agents"]
            assert agent_id in {each["id"] for each in listed}


@settings(max_examples=60)
@given(words=TEXT.filter(lambda text: 1 <= len(text) <= 500))
def test_any_search_is_answered(relay_of_all_examples: Relay, words: str) -> None:
    answer(relay_of_all_examples.get("/messages", params={"q": words, "limit": 1}))


@settings(max_examples=40)
@given(key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=256))
def test_any_idempotency_key_of_printable_characters_works(relay_of_all_examples: Relay, key: str) -> None:
    relay, agent = relay_of_all_examples, make_agent(relay_of_all_examples)
    body = {"from": agent, "to": "human", "body": "x"}
    first, second = (answer(relay.post("/messages", body, headers={"Idempotency-Key": key}), 201) for _ in range(2))
    assert first == second
