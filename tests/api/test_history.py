"""History: filters, paging, search, single messages, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import (
    Relay,
    answer,
    card,
    claim,
    inbox_ids,
    make_agent,
    make_message,
    make_work,
    pages,
    problem,
    unique,
)


def history(relay: Relay, **query: Any) -> list[int]:
    query = {name.rstrip("_"): value for name, value in query.items()}
    return [message["id"] for message in answer(relay.get("/messages", params=query))["messages"]]


def test_history_is_newest_first_and_says_nothing_of_read(relay: Relay) -> None:
    sent = [make_message(relay, to="human")["id"] for _ in range(3)]
    found = answer(relay.get("/messages"))["messages"]
    ids = [message["id"] for message in found]
    assert ids == sorted(ids, reverse=True)
    assert set(sent) <= set(ids)
    assert all("read" not in message for message in found)


def test_history_is_filtered_by_sender_target_channel_and_thread(relay: Relay) -> None:
    agent, channel = make_agent(relay), unique("channel")
    one = make_message(relay, from_=agent, to="human", channel=channel)["id"]
    two = make_message(relay, to=agent, channel=channel)["id"]
    three = make_message(relay, from_=agent, to=f"tag:{channel}", replyTo=one)["id"]
    assert history(relay, from_=agent) == [three, one]
    assert history(relay, to=agent) == [two]
    assert history(relay, to=f"tag:{channel}") == [three]
    assert history(relay, channel=channel) == [two, one]
    assert history(relay, channel=channel.upper()) == []
    assert history(relay, thread=one) == [three, one]
    assert history(relay, channel=channel, from_=agent, to="human", thread=one) == [one]
    assert history(relay, channel=channel, from_=agent, to=agent) == []
    assert history(relay, before=two, channel=channel) == [one]


def test_history_comes_in_pages_by_before(relay: Relay) -> None:
    channel = unique("channel")
    ids = [make_message(relay, to="human", channel=channel)["id"] for _ in range(5)]

    def ask(before: Any) -> dict[str, Any]:
        query = {"channel": channel, "limit": 2} | ({} if before is None else {"before": before})
        found: dict[str, Any] = answer(relay.get("/messages", params=query))
        return found

    found = [[message["id"] for message in page] for page in pages(ask, "messages")]
    assert found == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


@pytest.mark.parametrize(
    "query", ["before=0", "before=x", "thread=0", "thread=-1", "from=", "to=", "channel=", "q=", "colour=1"]
)
def test_a_bad_filter_is_named(relay: Relay, query: str) -> None:
    problem(relay.get(f"/messages?{query}"), 422, "invalid", field=query.partition("=")[0])


# -- search ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(relay: Relay) -> dict[str, Any]:
    """Messages in a channel of their own, by name."""
    channel = unique("library")
    texts = {
        "deploy": ("Deploy failed", "The quick-brown fox jumped over src/app/main.py at 12:30"),
        "phrase": (None, "disk is full on node7; retry later"),
        "apart": (None, "the full story of a disk"),
        "umlaut": ("Größenwahn", "naïve café résumé Ελληνικά привет 日本語"),
        "syntax": (None, 'say "hello" (world) AND NOT near* a:b {c} ^d -e + tail'),
    }
    ids = {
        name: make_message(relay, to="human", channel=channel, body=body, **({"subject": subject} if subject else {}))[
            "id"
        ]
        for name, (subject, body) in texts.items()
    }
    return ids | {"channel": channel}


SEARCHES = [
    ("fox", ["deploy"]), ("FOX", ["deploy"]), ("deploy", ["deploy"]), ("jump", ["deploy"]), ("umped", []),
    ("fox jumped", ["deploy"]), ("jumped fox", ["deploy"]), ("fox unicorn", []), ("quick-brown", ["deploy"]),
    ("src/app/main.py", ["deploy"]), ("main.py", ["deploy"]), ("12:30", ["deploy"]), ("disk full", ["phrase", "apart"]),
    ('"disk is full"', ["phrase"]), ('"full disk"', []), ('"disk is', ["phrase"]), ("grossenwahn", []),
    ("größenwahn", ["umlaut"]),
    ("naive", ["umlaut"]), ("CAFÉ", ["umlaut"]), ("привет", ["umlaut"]), ("ελληνικά", ["umlaut"]),
    ("日本語", ["umlaut"]),
    ("日本", ["umlaut"]), ("AND", ["syntax"]), ("hello AND world", ["syntax"]), ("hello OR fox", []),
    ("near", ["syntax"]),
    ("NEAR(hello world)", []), ("body:hello", []), ("hello -world", ["syntax"]), ("a:b", ["syntax"]),
    ("(hello", ["syntax"]), ("hello*", ["syntax"]), ("\"{c}\"", ["syntax"]), ("\"^d\"", ["syntax"]),
    ("node*", ["phrase"]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), SEARCHES)
def test_search_finds_words_phrases_and_beginnings(
    relay: Relay, library: dict[str, Any], words: str, expected: list[str]
) -> None:
    found = history(relay, q=words, channel=library["channel"])
    assert found == sorted((library[name] for name in expected), reverse=True)


@pytest.mark.parametrize(
    "words",
    ["*", '"', '""', "(", ")", "()", "-", "- -", "^", ":", "NOT", "AND OR", "NEAR", "NEAR(", "*fox", "fox -",
    "fox *", "fox ^ *",
     "'", "';--", "%", "_", "\\", "\U0001f600", " ", " \t ", "a" * 500, '" "', '"*"', '"" fox', "fox\"bar", "+",
     "{", "}", ",", ".*"],
)  # fmt: skip
def test_no_character_of_a_search_is_syntax(relay: Relay, library: dict[str, Any], words: str) -> None:
    for query in (words, f"{words} unicorn", f"unicorn {words}"):
        if query.strip() and len(query) <= 500:
            assert library["umlaut"] not in history(relay, q=query, channel=library["channel"])


def test_a_search_and_punctuation_of_its_own_find_by_the_words(relay: Relay, library: dict[str, Any]) -> None:
    for words in ("fox -", "- fox", "fox *", '"" fox', "( fox )", "fox ,"):
        assert history(relay, q=words, channel=library["channel"]) == [library["deploy"]], words


@pytest.mark.parametrize("words", ["x" * 501, "nul\0"])
def test_a_search_too_long_or_with_nul_is_refused(relay: Relay, words: str) -> None:
    problem(relay.get("/messages", params={"q": words}), 422, "invalid", field="q")


def test_what_was_just_sent_is_found_and_what_was_deleted_is_not(relay: Relay) -> None:
    word = unique("needle").replace("-", "")
    sent = [make_message(relay, to="human", body=f"a {word} in hay")["id"] for _ in range(3)]
    assert history(relay, q=word) == sent[::-1]
    relay.delete(f"/messages/{sent[1]}")
    assert history(relay, q=word) == [sent[2], sent[0]]
    late = make_message(relay, to="human", subject=word)["id"]
    assert history(relay, q=word) == [late, sent[2], sent[0]]


def test_search_comes_in_pages(relay: Relay) -> None:
    word = unique("needle").replace("-", "")
    ids = [make_message(relay, to="human", body=word)["id"] for _ in range(3)]
    first = answer(relay.get("/messages", params={"q": word, "limit": 2}))
    assert [message["id"] for message in first["messages"]] == [ids[2], ids[1]]
    assert history(relay, q=word, limit=2, before=first["next"]) == [ids[0]]


# -- single messages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/messages/9223372036854775807", "/messages/0"])
def test_an_unknown_message_is_404(relay: Relay, path: str) -> None:
    problem(relay.get(path), 404, "message-not-found")
    problem(relay.delete(path), 404, "message-not-found")


@pytest.mark.parametrize("path", ["/messages/9223372036854775808", "/messages/-1", "/messages/abc", "/messages/1.5"])
def test_what_cannot_be_an_id_names_nothing(relay: Relay, path: str) -> None:
    problem(relay.get(path), 404, "not-found")


def test_a_deleted_message_is_gone_everywhere(relay: Relay) -> None:
    agent, channel = make_agent(relay), unique("channel")
    sent = make_work(relay, to=agent, channel=channel)
    claim(relay, sent, agent)
    assert relay.delete(f"/messages/{sent}").status_code == 204
    problem(relay.get(f"/messages/{sent}"), 404, "message-not-found")
    problem(relay.delete(f"/messages/{sent}"), 404, "message-not-found")
    assert history(relay, channel=channel) == []
    assert inbox_ids(relay, agent) == []
    assert card(relay, agent)["unread"] == 0


def test_the_id_of_a_deleted_message_is_not_given_again(relay: Relay) -> None:
    sent = make_message(relay, to="human")["id"]
    relay.delete(f"/messages/{sent}")
    assert make_message(relay, to="human")["id"] > sent
