"""What every screen stands on: the line, times, texts, addresses and the composer, at their edges."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakePage
from tests.conftest import MakeRelay

TOKEN = "a-token-of-thirty-two-characters"
AN_HOUR_OFF = """{
  const real = Date.now.bind(Date), Real = Date, off = %d;
  globalThis.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(real() + off); }
  };
  Date.now = () => real() + off;
}"""


def open_live(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator(".line.is-live")).to_be_attached()


def test_now_opens_where_nothing_that_is_replayed_tells_its_time(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_relay()
    assert relay.post("/agents", {"id": "alice"}).status_code == 201
    for turn in range(160):  # more than the feed begins with
        assert relay.patch("/agents/alice", {"status": ("busy", "idle")[turn % 2]}).status_code == 200
    page = make_page()
    open_live(page, relay.url)
    expect(page.locator(".feed-line").first).to_contain_text("earlier")
    assert relay.post("/messages", {"from": "alice", "to": "human", "body": "good morning"}).status_code == 201
    expect(page.locator(".feed-line").first).to_contain_text("good morning")
    expect(page.locator(".feed-line time").first).to_have_attribute("datetime", re.compile(r"^\d{4}-"))


@pytest.mark.parametrize("off_ms", [3_600_000, -3_600_000])
def test_times_are_told_by_the_relays_clock(make_page: MakePage, make_relay: MakeRelay, off_ms: int) -> None:
    relay = make_relay()
    relay.post("/agents", {"id": "alice"})
    page = make_page()
    page.add_init_script(AN_HOUR_OFF % off_ms)
    open_live(page, relay.url)
    sent: dict[str, Any] = relay.post("/messages", {"from": "alice", "to": "human", "body": "one"}).json()
    relay.delete(f"/messages/{sent['id']}")  # an event that tells no time
    last: dict[str, Any] = relay.post("/messages", {"from": "alice", "to": "human", "body": "two"}).json()
    expect(page.locator(".feed-line").first).to_contain_text("two")
    expect(page.locator(".feed-line time").first).to_have_attribute("datetime", last["createdAt"])
    expect(page.locator(".needs time").first).to_have_text(re.compile(r"^(now|\d+ s ago)$"))


@pytest.mark.parametrize(
    "query",
    ["?kind=all,messages", "?constructor=1", "?toString=1&__proto__=2", "?kind=hasOwnProperty"],
)
def test_an_address_with_odd_filters_opens_its_screen(make_page: MakePage, make_relay: MakeRelay, query: str) -> None:
    relay = make_relay()
    page = make_page()
    for screen in ("", "tasks"):
        open_live(page, f"{relay.url}/{screen}{query}")
        expect(page.get_by_text("This screen has a fault")).to_have_count(0)
        expect(page.locator("main h1")).to_be_attached()


def test_a_token_of_letters_that_no_header_carries_is_refused_and_asked_for_again(
    make_page: MakePage, make_relay: MakeRelay
) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN=TOKEN)
    page = make_page(allow="401|4401|WebSocket")
    page.goto(relay.url)
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    page.keyboard.type("“tøken→”")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    expect(field).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator(".line.is-live")).to_be_attached()


def test_a_token_that_one_tab_is_given_is_asked_for_in_no_other(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN=TOKEN)
    page = make_page(allow="401|4401|WebSocket")
    other = make_page(allow="401|4401|WebSocket", beside=page)
    for tab in (other, page):
        tab.goto(relay.url)
        expect(tab.get_by_label("Token", exact=True)).to_be_visible()
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.locator(".line.is-live")).to_be_attached()
        expect(tab.get_by_role("dialog")).to_have_count(0)


def test_a_held_key_sends_a_message_once(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.post("/agents", {"id": "alice"})
    page = make_page()
    open_live(page, relay.url)
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog", name="Message")
    dialog.get_by_label("To", exact=True).fill("alice")
    dialog.get_by_label("Message", exact=True).fill("once")
    page.keyboard.down("Control")
    for _ in range(6):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.keyboard.up("Control")
    expect(dialog).to_have_count(0)
    assert relay.get("/stats").json()["messages"] == 1


@pytest.mark.parametrize(
    "text",
    ["'x' + ' '.repeat(n) + 'y'", "'x' + '\\n'.repeat(n) + 'y'", "'```' + ' '.repeat(n) + '! !'"],
    ids=["spaces", "lines", "fence"],
)
def test_a_text_of_a_megabyte_of_nothing_does_not_stop_the_page(
    make_page: MakePage, make_relay: MakeRelay, text: str
) -> None:
    relay = make_relay()
    page = make_page()
    open_live(page, relay.url)
    took = page.evaluate(
        f"""async n => {{
          const {{ blocksOf }} = await import("/static/js/core/text.js");
          const begun = performance.now();
          blocksOf({text});
          return performance.now() - begun;
        }}""",
        200_000,
    )
    assert took < 2_000, "it took a minute where a pattern looks for the end from every space"


def test_a_stream_that_is_hung_up_leaves_one_in_its_place(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_relay()
    page = make_page(allow="WebSocket|net::ERR")
    page.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({code: 1006})) } close() {} }"
    )
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/events" in request.url else None)
    page.goto(relay.url)
    expect(page.locator(".line.is-live")).to_be_attached(timeout=20_000)
    page.evaluate(
        """async () => {
          const folder = document.querySelector('meta[name="relay-folder"]').content;
          const { isAt } = await import(`${folder}js/core/live.js`);
          isAt(Number.MAX_SAFE_INTEGER);
        }"""
    )
    with page.expect_request("**/api/events*"):
        page.clock.fast_forward(3_100)
    expect(page.locator(".line.is-live")).to_be_attached()
    page.clock.fast_forward(40_000)
    expect(page.locator(".line.is-live")).to_be_attached()
    assert len(asked) == 2, "the one that was hung up is no failure, and is not tried again"
