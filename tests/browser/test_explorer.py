"""The API explorer in a real browser: nothing refused by its policy, nothing in the console, and it works."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakePage
from tests.conftest import MakeRelay
from tests.factories import Relay, answer, make_agent, make_message, unique


def operation(page: Page, name: str) -> Page:
    """Open an operation by its address."""
    page.evaluate("name => { location.hash = 'op-' + name }", name)
    expect(page.locator(f"#op-{name} form")).to_be_visible()
    return page


def test_it_lists_every_operation_with_its_form(page: Page, relay: Relay) -> None:
    document = answer(relay.get("/openapi.json"))
    names = {operation["operationId"] for operations in document["paths"].values() for operation in operations.values()}
    page.goto(f"{relay.url}/explorer")
    expect(page.locator("details.operation")).to_have_count(len(names))
    for name in sorted(names):
        details = page.locator(f"#op-{name}")
        details.locator("> summary").click()
        expect(details.get_by_role("button", name="Watch" if name == "stream_events" else "Send")).to_be_visible()


def test_it_is_where_a_problems_type_points(page: Page, relay: Relay) -> None:
    kind = relay.get(f"/agents/{unique('nobody')}").json()["type"]
    page.goto(relay.url + kind)
    expect(page.locator("#agent-not-found")).to_be_in_viewport()


def test_trying_to_register_answers_201(page: Page, relay: Relay) -> None:
    name = unique("agent")
    page.goto(f"{relay.url}/explorer")
    expect(page.locator("details.operation").first).to_be_visible()
    form = operation(page, "register_agent").locator("#op-register_agent form")
    form.get_by_label("body").fill(f'{{"id": "{name}", "labels": ["<b>bold</b>"]}}')
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_contain_text("201 Created")
    expect(form.get_by_label("Body of the answer")).to_contain_text("<b>bold</b>")
    assert answer(relay.get(f"/agents/{name}"))["labels"] == ["<b>bold</b>"]


def test_every_prefilled_body_is_accepted(page: Page, own_relay: Relay) -> None:
    own_relay.post("/agents", {"id": "alice"})
    page.goto(f"{own_relay.url}/explorer")
    expect(page.locator("details.operation").first).to_be_visible()
    prefilled = {
        "register_agent": "200",
        "patch_agent": "200",
        "heartbeat": "200",
        "send_messages": "201",
        "read_message": "200",
        "read_up_to": "200",
        "report_receipt": "200",
    }
    for name, status in prefilled.items():
        form = operation(page, name).locator(f"#op-{name} form")
        form.get_by_role("button", name="Send").click()
        expect(form.get_by_role("status"), name).to_contain_text(status)


def test_watching_shows_events_as_they_come(page: Page, relay: Relay) -> None:
    agent = make_agent(relay)
    page.goto(f"{relay.url}/explorer")
    expect(page.locator("details.operation").first).to_be_visible()
    form = operation(page, "stream_events").locator("#op-stream_events form")
    form.get_by_label("for", exact=True).fill(agent)
    form.get_by_role("button", name="Watch").click()
    expect(form.get_by_role("list").get_by_text(": connected")).to_be_visible()
    sent = make_message(relay, to=agent, body="Good morning")
    line = form.get_by_role("listitem").filter(has_text="message.new")
    expect(line).to_contain_text("Good morning")
    expect(line).to_contain_text(str(sent["id"]))
    form.get_by_role("button", name="Stop").click()
    expect(form.get_by_role("status")).to_have_text("Stopped after 1 event.")


def test_with_a_token_it_asks_and_keeps_it_to_itself(make_page: MakePage, make_relay: MakeRelay) -> None:
    page = make_page(allow="401")
    relay = make_relay(AGENT_RELAY_TOKEN="a-long-random-text")
    assert relay.get("/docs").status_code == 401
    page.goto(f"{relay.url}/explorer")
    expect(page.locator("#notice")).to_contain_text("asks for its token")
    page.get_by_label("Token").fill("a-long-random-text")
    page.keyboard.press("Enter")
    expect(page.locator("details.operation").first).to_be_visible()
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert "token" not in page.url


def test_filter_and_keyboard(page: Page, relay: Relay) -> None:
    page.goto(f"{relay.url}/explorer")
    expect(page.locator("details.operation").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the operations")).to_be_focused()
    page.get_by_label("Filter").fill("/messages /claim")
    expect(page.locator("details.operation:visible")).to_have_count(1)


def test_it_fits_a_phone(page: Page, relay: Relay) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{relay.url}/explorer#op-send_messages")
    expect(page.locator("#op-send_messages form")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_static_files_say_what_they_are_and_are_asked_for_again(relay: Relay) -> None:
    script = relay.get("//static/explorer/explorer.js")
    assert script.status_code == 200
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert script.headers["Cache-Control"] == "no-cache"
    assert script.headers["X-Content-Type-Options"] == "nosniff"
    again = relay.get("//static/explorer/explorer.js", headers={"If-None-Match": script.headers["ETag"]})
    assert again.status_code == 304
    assert (
        relay.ask("HEAD", "//explorer").headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
    )
    page = relay.get("//explorer")
    assert relay.get("//explorer", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "..%2fpyproject.toml",
        "%2e%2e/pyproject.toml",
        "explorer/index.html",
        "explorer",
        "nothing.js",
        "..%2fapp/errors.py",
    ],
)
def test_nothing_else_is_served(path: str, relay: Relay) -> None:
    status, _, body = relay.raw(f"GET /static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status == 404
    assert b'"code":"not-found"' in body
