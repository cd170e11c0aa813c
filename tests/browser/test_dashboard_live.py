"""The dashboard follows the relay: at once, in every tab, over every interruption, and nothing twice."""

from __future__ import annotations

import re

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import MakePage, shown
from tests.conftest import MakeRelay
from tests.factories import Relay, answer, make_agent, make_message, make_work, wait_until
from tests.integrations import configured, make_integration, make_task

OPEN_RELAY_FRAME = "net::ERR|WebSocket connection|Failed to load resource"


def feed_texts(page: Page) -> list[str]:
    return page.locator(".feed-line .feed-text").all_inner_texts()


def test_what_happens_is_seen_as_it_happens(page: Page, own_relay: Relay) -> None:
    shown(page, own_relay)
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    alice, bob = make_agent(own_relay, id="alice"), make_agent(own_relay, id="bob", tags=["backend"])
    line = page.locator(".feed-line")
    expect(line.filter(has_text="bob registered")).to_be_visible()
    make_message(own_relay, from_=alice, to=bob, subject="Build 512", body="It is green.")
    expect(line.filter(has_text="Build 512")).to_contain_text("alice")
    work = make_work(own_relay, to="tag:backend", body="Review the cart")
    expect(page.get_by_role("link", name=re.compile(r"1\s*unclaimed work"))).to_be_visible()
    answer(own_relay.post(f"/messages/{work}/claim", {"agentId": bob}))
    expect(line.filter(has_text="bob claimed")).to_contain_text("Review the cart")
    expect(page.get_by_role("link", name=re.compile(r"0\s*unclaimed work"))).to_be_visible()
    own_relay.patch(f"/agents/{bob}", {"status": "busy"})
    expect(line.filter(has_text="bob is busy")).to_be_visible()
    own_relay.delete(f"/agents/{alice}")
    expect(line.filter(has_text="alice left")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile(r"1\s*agents online"))).to_be_visible()


def test_a_relay_that_was_killed_and_comes_back_costs_nothing(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_relay()
    page = make_page(allow=OPEN_RELAY_FRAME)
    bob = make_agent(relay, id="bob")
    for number in range(5):
        make_message(relay, to=bob, body=f"before {number}")
    shown(page, relay)
    expect(page.locator(".feed-line").filter(has_text="before 4")).to_be_visible()
    before = feed_texts(page)
    relay.kill()
    banner = page.locator(".banner")
    expect(banner).to_contain_text("No connection to the relay since")
    expect(banner).to_contain_text("trying again")
    assert feed_texts(page) == before, "what was there stays"
    expect(page.get_by_role("link", name=re.compile(r"1\s*agents online"))).to_be_visible()
    with page.expect_websocket():
        banner.get_by_role("button", name="Retry now").click()
    relay.start()
    for number in range(5):
        make_message(relay, to=bob, body=f"after {number}")
    expect(page.locator(".feed-line").filter(has_text="after 4")).to_be_visible(timeout=30_000)
    expect(banner).to_have_count(0)
    wanted = [f"before {n}" for n in range(5)] + [f"after {n}" for n in range(5)]
    wait_until(
        lambda: [t[-len(w) :] for t, w in zip(_bodies(page), wanted, strict=False)] == wanted, "each once, in order"
    )
    assert len(_bodies(page)) == len(wanted)


def _bodies(page: Page) -> list[str]:
    """Messages in the feed, oldest first."""
    return [text for text in reversed(feed_texts(page)) if "before " in text or "after " in text]


def test_after_a_reset_the_page_takes_a_new_snapshot(make_page: MakePage, make_relay: MakeRelay) -> None:
    """Another database under the same address: its log is shorter, so that nothing can be resumed."""
    relay = make_relay()
    page = make_page(allow=OPEN_RELAY_FRAME)
    for number in range(20):
        make_agent(relay, id=f"old-{number}")
    shown(page, relay, "/agents")
    expect(page.get_by_role("link", name="old-3", exact=True)).to_be_visible()
    relay.stop()
    for path in relay.db.parent.glob(f"{relay.db.name}*"):
        path.unlink()
    relay.start()
    make_agent(relay, id="new-agent")
    expect(page.get_by_role("link", name="new-agent", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="old-3", exact=True)).to_have_count(0)


def test_eight_tabs_are_all_live(make_page: MakePage, own_relay: Relay) -> None:
    """A browser opens six HTTP connections to one origin; tabs that each held one open would starve the seventh."""
    first = shown(make_page(), own_relay)
    tabs = [first, *(shown(make_page(beside=first), own_relay) for _ in range(7))]
    bob = make_agent(own_relay, id="bob")
    make_message(own_relay, to=bob, body="to all eight")
    for tab in tabs:
        tab.bring_to_front()
        expect(tab.locator(".feed-line").filter(has_text="to all eight")).to_be_visible()
    assert answer(own_relay.get("/stats"))["live"]["websocket"] == 8


def test_without_a_websocket_it_reads_the_event_stream(make_page: MakePage, own_relay: Relay) -> None:
    page = make_page(allow="WebSocket|net::ERR")
    page.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({code: 1006})) } close() {} }"
    )
    shown(page, own_relay)
    bob = make_agent(own_relay, id="bob")
    make_message(own_relay, to=bob, body="over the stream\nin two lines: {}")
    expect(page.locator(".feed-line").filter(has_text="over the stream")).to_be_visible()
    assert answer(own_relay.get("/stats"))["live"]["sse"] == 1


def test_a_line_that_is_dead_without_a_word_is_found_out(page: Page, own_relay: Relay) -> None:
    """As a laptop leaves it that slept: open, and silent."""
    lines: list[str] = []

    def first_is_deaf(line: WebSocketRoute) -> None:
        server = line.connect_to_server()
        lines.append(line.url)
        if len(lines) == 1:
            server.on_message(lambda said: line.send(said) if '"ref"' in str(said)[:10] else None)

    page.route_web_socket("**/api/ws", first_is_deaf)
    page.clock.install()
    shown(page, own_relay)
    bob = make_agent(own_relay, id="bob")
    make_message(own_relay, to=bob, body="nobody tells")
    with page.expect_response("**/api/stats"):
        page.clock.fast_forward(31_000)  # to the next look that the page takes by itself
    expect(page.get_by_role("link", name=re.compile(r"1\s*agents online"))).to_be_visible()
    page.clock.fast_forward(4_000)
    expect(page.locator(".feed-line").filter(has_text="nobody tells")).to_be_visible()
    assert len(lines) == 2


def test_paused_or_scrolled_it_counts_what_is_new(page: Page, own_relay: Relay) -> None:
    shown(page, own_relay)
    bob = make_agent(own_relay, id="bob")
    for number in range(60):
        make_message(own_relay, to=bob, body=f"number {number}")
    expect(page.locator(".feed-line").first).to_contain_text("number 59")
    page.get_by_role("button", name="Pause").click()
    make_message(own_relay, to=bob, body="while paused")
    pill = page.locator(".pill")
    expect(pill).to_have_text("1 new")
    assert "while paused" not in "".join(feed_texts(page))
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".feed-line").first).to_contain_text("while paused")
    page.locator(".feed-list").evaluate("element => element.scrollTo(0, 600)")
    page.wait_for_function("document.querySelector('.feed-list').scrollTop > 500")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    make_message(own_relay, to=bob, body="while scrolled")
    pill.click()
    expect(page.locator(".feed-line").first).to_contain_text("while scrolled")
    assert page.locator(".feed-list").evaluate("element => element.scrollTop") == 0


def test_what_needs_a_human_comes_and_goes(page: Page, make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration()))
    shown(page, relay)
    needs = page.get_by_role("region", name="Needs a human")
    expect(needs).to_contain_text("Nothing.")
    bob = make_agent(relay, id="bob", tags=["ops"])
    question = make_message(relay, from_=bob, to="human", subject="May I deploy?")
    expect(needs.get_by_role("link", name=re.compile("May I deploy"))).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(1\) Now"))
    task = make_task(relay, target="tag:ops", title="Disk full")
    relay.post(f"/tasks/{task['id']}/claim", {"agentId": bob})
    relay.patch(f"/tasks/{task['id']}/status", {"status": "blocked", "agentId": bob})
    expect(needs.get_by_role("link", name=re.compile("Disk full"))).to_be_visible()
    work = make_work(relay, to="tag:ops", subject="Clean up")
    relay.post(f"/messages/{work}/claim", {"agentId": bob})
    relay.post(f"/messages/{work}/release", {"agentId": bob})
    expect(needs.get_by_role("link", name=re.compile("Clean up"))).to_be_visible()
    make_message(relay, to=bob, replyTo=question["id"], body="Yes.")
    relay.patch(f"/tasks/{task['id']}/status", {"status": "in_progress", "agentId": bob})
    relay.post(f"/messages/{work}/claim", {"agentId": bob})
    expect(needs).to_contain_text("Nothing.")
