"""What others write is text, whatever it looks like: nothing runs, is reordered or hidden, or breaks the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import MakePage, shown
from tests.conftest import MakeRelay
from tests.factories import Json, Relay, answer, claim, make_agent, make_message, make_work, problem
from tests.integrations import bearer, configured, make_event, make_integration, make_task, move

MARKUP = (
    "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'><svg onload='window.pwned=1'></svg>"
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe><b id=planted>bold</b>"
)
MARKS = "pay \u202e001 \u202cnow\u200b!\u2066x\u2069 \x1b[31mred\x1b[0m \x1b]0;title\x07done \x08\x7f"
MARKS_SEEN = "pay ⟨RLO⟩001 ⟨PDF⟩now⟨ZWSP⟩!⟨LRI⟩x⟨PDI⟩ red done ⟨U+0008⟩⟨U+007F⟩"
FAMILY = "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 नमस्\u200dते"
LINKS = (
    "javascript:window.pwned=1 data:text/html,x vbscript:x [a](javascript:window.pwned=1) https://good.example/a?b=c."
)
LINE = "w" * 10_000
FENCES = "\n".join(["````"[: 3 + at % 2] + "js" for at in range(50)])
SHORT = f"{MARKUP} {MARKS} {FAMILY}"
BODIES = {
    "markup": MARKUP,
    "marks": MARKS,
    "family": FAMILY,
    "links": LINKS,
    "line": LINE,
    "fences": FENCES,
    "large": "All of it.\n" + "0123456789 " * 9_300,
}


@pytest.fixture(scope="module")
def relay(make_module_relay: MakeRelay) -> Relay:
    """Hostile in every field that takes text."""
    relay = make_module_relay(
        **configured(make_integration(), make_integration("told", callbackUrl="http://127.0.0.1:9/" + "c" * 400))
    )
    make_agent(
        relay, id="mallory", labels=[cut(SHORT, 128), "\u202edesrever"], tags=["ops"], capabilities=["<b>cap</b>"],
        project=cut(SHORT, 128), rig="\u202egir", host="<i>host</i>", version="\x1b[1m1", meta={"<b>": SHORT},
        wakePaths=[{"name": "hook", "armed": True}],
    )  # fmt: skip
    make_agent(relay, id="x" * 128, tags=["ops"])
    for body in BODIES.values():
        make_message(relay, from_="mallory", to="x" * 128, subject=cut(SHORT, 300), body=body)
    make_message(relay, from_="mallory", to="human", subject=SHORT, body=SHORT)
    make_message(relay, from_="mallory", to="tag:" + "t" * 100, subject=LINE[:900], body=LINE)
    work = make_work(relay, to="tag:ops", from_="mallory", subject=SHORT, body=SHORT)
    claim(relay, work, "x" * 128)
    task = make_task(
        relay, target="tag:ops", title=cut(SHORT, 300), body=f"{SHORT}\n{LINE}", type="t", dedupeKey=cut(SHORT, 200),
        externalUrl="https://good.example/" + "p" * 1_000, metadata={MARKUP: MARKS, "line": LINE},
    )["id"]  # fmt: skip
    make_task(relay, source="told", target="human", title=LINE[:200])
    answer(relay.post(f"/tasks/{task}/claim", {"agentId": "mallory"}))
    move(relay, task, "blocked", agentId="mallory", note=f"{SHORT} {LINE[:3000]}")
    return relay


def cut(text: str, most: int) -> str:
    return text[:most]


@pytest.fixture(scope="module")
def task(relay: Relay) -> Json:
    found: Json = answer(relay.get("/tasks", params={"source": "ops", "limit": 1}))["tasks"][0]
    return found


def message_of(relay: Relay, name: str) -> int:
    """The message with one of the bodies."""
    found = answer(relay.get("/messages", params={"from": "mallory", "limit": 100}))["messages"]
    return int(next(message["id"] for message in found if message["body"] == BODIES[name]))


PLANTED = """() => [...document.querySelectorAll(
    "script:not([src]), img[src='x'], iframe, object, embed, #planted, main b[id], main [onerror], main [onload]"
)].map(element => element.outerHTML.slice(0, 100))"""
WIDE = """() => [document.scrollingElement.scrollWidth - innerWidth,
    document.querySelector("main").scrollWidth - document.querySelector("main").clientWidth]"""
SAID = """() => [document.title, document.body.innerText, ...["title", "aria-label", "placeholder"].flatMap(
    name => [...document.querySelectorAll(`[${name}]`)].map(element => element.getAttribute(name)))].join("\\n")"""
UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b\x1b\x08\x7f]")


def check(page: Page) -> list[str]:
    """What of the text took effect."""
    said = [f"planted {element}" for element in page.evaluate(PLANTED)]
    if page.evaluate("'pwned' in window"):
        said.append("a script ran")
    over = page.evaluate(WIDE)
    if max(over) > 0:
        said.append(f"scrolls sideways by {over}")
    text = page.evaluate(SAID)
    said += [f"unseen {mark!r} in {text[max(0, at - 40) : at + 20]!r}" for at, mark in found_in(text)]
    for link in page.locator("a[href]").evaluate_all("links => links.map(link => link.getAttribute('href'))"):
        if not re.match(r"(/|https?://|#)", link):
            said.append(f"link to {link}")
    return said


def found_in(text: str) -> list[tuple[int, str]]:
    return [(match.start(), match.group()) for match in UNSEEN.finditer(text)]


@pytest.mark.parametrize("width", [1280, 390])
def test_on_every_screen_what_others_wrote_is_only_text(
    make_page: MakePage, relay: Relay, task: Json, width: int
) -> None:
    page = make_page(width=width)
    dialogs: list[Dialog] = []

    def opened(dialog: Dialog) -> None:
        dialogs.append(dialog)
        dialog.dismiss()

    page.on("dialog", opened)
    threads = [answer(relay.get("/messages", params={"from": "mallory", "limit": 2}))["messages"][0]["threadId"]]
    threads += [message_of(relay, name) for name in ("markup", "marks", "line", "fences")]
    addresses = [
        ("/", ".feed-line"), ("/agents", ".agent-card"), ("/agents?view=table", "a.agent-row"),
        ("/agents/mallory", ".agent-drawer .facts"), ("/agents/mallory?show=sent", ".agent-drawer .mail"),
        ("/threads", ".thread-row"), *[(f"/threads/{thread}", ".letter .receipts") for thread in threads],
        ("/tasks", "a.card"), ("/tasks?view=table", "tr.row"), (f"/tasks/{task['id']}", ".task-detail .history li"),
        ("/map", ".matrix"), ("/map?view=graph", "main svg"), ("/timeline", ".recent"),
        (f"/timeline/{task['id']}", ".told-line"), ("/integrations", ".integration"),
        ("/integrations/told", ".integration"),
    ]  # fmt: skip
    shown(page, relay)
    found = []
    for address, there in addresses:
        page.evaluate(
            "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }", address
        )
        page.locator(there).first.wait_for(state="attached")
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found += [f"{address}: {said}" for said in check(page)]
    page.keyboard.press("Control+k")
    page.keyboard.type("script")
    expect(page.get_by_role("option").filter(has_text="<script>").first).to_be_visible()
    found += [f"palette: {said}" for said in check(page)]
    assert found == []
    assert dialogs == []


def body_of(page: Page, relay: Relay, name: str) -> Any:
    number = message_of(relay, name)
    shown(page, relay, f"/threads/{number}")
    found = page.locator(f'[data-message="{number}"] .body')
    expect(found).to_be_visible()
    return found


def test_markup_is_shown_as_it_was_written(page: Page, relay: Relay) -> None:
    expect(body_of(page, relay, "markup")).to_have_text(MARKUP)


def test_what_cannot_be_seen_is_named_and_colours_of_terminals_are_gone(page: Page, relay: Relay) -> None:
    expect(body_of(page, relay, "marks")).to_have_text(MARKS_SEEN)


def test_joined_emoji_and_letters_stay_whole(page: Page, relay: Relay) -> None:
    assert body_of(page, relay, "family").inner_text() == FAMILY


def test_only_web_addresses_become_links(page: Page, relay: Relay) -> None:
    body = body_of(page, relay, "links")
    expect(body).to_have_text(LINKS)
    expect(body.locator("a")).to_have_count(1)
    expect(body.locator("a")).to_have_attribute("href", "https://good.example/a?b=c")
    expect(body.locator("a")).to_have_attribute("rel", "noopener noreferrer")


def test_a_large_text_is_shown_in_full_when_asked_for(page: Page, relay: Relay) -> None:
    body = body_of(page, relay, "large")
    short = len(body.inner_text())
    assert short < 7_000
    body.get_by_role("button", name="Show all 102 KB").click()
    expect(body.get_by_role("button", name="Show less")).to_be_visible()
    assert len(body.inner_text()) > 100_000
    assert page.evaluate(WIDE)[0] <= 0
    body.get_by_role("button", name="Show less").click()
    expect(body.get_by_role("button", name="Show all 102 KB")).to_be_visible()


def test_fences_within_fences_leave_the_rest_of_the_page_alone(page: Page, relay: Relay) -> None:
    body = body_of(page, relay, "fences")
    assert body.locator(".code").count() < 50
    shown_text = body.inner_text()
    assert shown_text.count("js") >= 45
    expect(page.get_by_role("textbox", name=re.compile("^Reply to"))).to_be_visible()


def test_copying_a_message_gives_what_was_written(page: Page, relay: Relay) -> None:
    number = message_of(relay, "marks")
    body_of(page, relay, "marks")
    page.get_by_role("button", name=f"Copy message {number}").click()
    expect(page.locator(".toast")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == MARKS


@pytest.mark.parametrize("url", ["javascript:window.pwned=1", "data:text/html,x", "//evil.example", "ftp://x.example"])
def test_a_task_cannot_lead_to_anything_but_the_web(relay: Relay, url: str) -> None:
    response = relay.post("/integrations/events", make_event(externalUrl=url), headers=bearer())
    problem(response, 422, "invalid", field="externalUrl")


def test_a_task_says_its_own_words_and_its_link_is_safe(page: Page, relay: Relay, task: Json) -> None:
    shown(page, relay, f"/tasks/{task['id']}")
    detail = page.get_by_role("complementary", name=f"Task {task['id']}")
    expect(detail.get_by_role("heading", level=2)).to_contain_text("<script>window.pwned=1</script>")
    link = detail.locator("a.outside")
    expect(link).to_have_attribute("href", re.compile("^https://good.example/"))
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(detail.locator(".history")).to_contain_text("⟨RLO⟩")
    assert check(page) == []
