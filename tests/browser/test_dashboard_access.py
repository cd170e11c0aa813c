"""Who may look: the token that is asked for over the page, the one-time code, and what is left when either ends."""

from __future__ import annotations

import re

import requests
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import MakePage, shown
from tests.conftest import MakeRelay
from tests.factories import DEADLINE_S, Relay

TOKEN = "a-token-of-thirty-two-characters"
OTHER = "another-token-of-thirty-two-chars"
REFUSED = "401|4401|WebSocket"
AWAY = f"{REFUSED}|net::ERR|Failed to load resource"


def auth(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make_secured_relay(make_relay: MakeRelay) -> Relay:
    """A relay that asks for a token, with an agent."""
    relay = make_relay(AGENT_RELAY_TOKEN=TOKEN)
    assert relay.post("/agents", {"id": "alice"}, headers=auth()).status_code == 201
    return relay


def make_code(relay: Relay) -> str:
    response = relay.post("/session/code", headers=auth())
    assert response.status_code == 201, response.text
    return str(response.json()["code"])


def dialog_of(page: Page) -> Locator:
    return page.get_by_role("dialog", name="This relay asks for its token")


def enter(page: Page, token: str) -> None:
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def stored(page: Page) -> object:
    return page.evaluate("localStorage.getItem('agent-relay-token')")


def recorded(page: Page) -> list[Request]:
    """Every request that the page makes from here on."""
    found: list[Request] = []
    page.on("request", lambda request: found.append(request))
    return found


def test_the_first_401_asks_for_the_token_and_the_call_is_made_again(
    make_page: MakePage, make_relay: MakeRelay
) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    asked = recorded(page)
    page.goto(f"{relay.url}/agents?status=online")
    dialog = dialog_of(page)
    field = dialog.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")
    expect(dialog.locator("input")).to_have_count(1)
    expect(dialog.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("navigation", name="Screens", include_hidden=True)).to_be_attached()
    assert dialog.evaluate("element => element.matches(':modal')"), "the page below cannot be reached"
    enter(page, TOKEN)
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name="alice", exact=True)).to_be_visible()
    expect(page.locator(".line.is-live")).to_be_attached()
    assert page.url == f"{relay.url}/agents?status=online"
    stats = [call for call in asked if call.url.endswith("/api/stats")]
    assert "authorization" not in stats[0].headers
    assert stats[1].headers["authorization"] == f"Bearer {TOKEN}", "the call that failed is made again"
    assert [call.url for call in asked if TOKEN in call.url] == []


def test_a_wrong_token_is_said_and_asked_for_again(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    page.goto(relay.url)
    dialog = dialog_of(page)
    expect(dialog.get_by_label("Token", exact=True)).to_be_focused()
    enter(page, "not-the-token-of-this-relay-at-all")
    expect(dialog.get_by_role("alert")).to_contain_text(re.compile("token", re.IGNORECASE))
    field = dialog.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    enter(page, TOKEN)
    expect(dialog).to_have_count(0)
    expect(page.locator(".line.is-live")).to_be_attached()


def test_esc_and_an_empty_field_leave_the_dialog_open(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    page.goto(relay.url)
    dialog = dialog_of(page)
    expect(dialog.get_by_label("Token", exact=True)).to_be_focused()
    for key in ("Escape", "Escape", "Escape", "Enter"):
        page.keyboard.press(key)
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Token", exact=True)).to_be_visible()
    assert dialog.evaluate("element => element.matches(':modal')")
    dialog.get_by_label("Token", exact=True).focus()
    enter(page, TOKEN)
    expect(dialog).to_have_count(0)


def test_the_token_stays_in_local_storage_alone(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    page.goto(relay.url)
    expect(dialog_of(page).get_by_label("Token", exact=True)).to_be_focused()
    enter(page, TOKEN)
    expect(page.locator(".line.is-live")).to_be_attached()
    asked = recorded(page)
    assert stored(page) == TOKEN
    shown(page, relay, "/threads")
    expect(dialog_of(page)).to_have_count(0)
    beside = shown(make_page(beside=page), relay, "/agents")
    expect(beside.get_by_role("link", name="alice", exact=True)).to_be_visible()
    expect(dialog_of(beside)).to_have_count(0)
    held = page.evaluate(
        "[JSON.stringify(sessionStorage), document.cookie, JSON.stringify(history.state), location.href]"
    )
    assert not [place for place in held if TOKEN in place]
    assert TOKEN not in page.locator("html").evaluate("element => element.outerHTML")
    assert [call.url for call in asked if TOKEN in call.url] == []
    assert TOKEN not in relay.log


def test_a_code_signs_in_and_is_gone_from_address_and_history(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    asked = recorded(page)
    code = make_code(relay)
    page.goto("about:blank")
    page.goto(f"{relay.url}/agents#code={code}")
    expect(page.get_by_role("link", name="alice", exact=True)).to_be_visible()
    expect(dialog_of(page)).to_have_count(0)
    assert page.url == f"{relay.url}/agents"
    assert page.evaluate("history.length") == 2, "the code has made no entry of its own"
    page.get_by_role("link", name="Tasks", exact=True).click()
    expect(page).to_have_url(f"{relay.url}/tasks")
    page.go_back()
    expect(page).to_have_url(f"{relay.url}/agents")
    assert code not in str(page.evaluate("[location.href, history.state, document.referrer]"))
    session = stored(page)
    assert session not in (None, TOKEN, code), "a token of its own session"
    assert relay.get("/stats", headers=auth(str(session))).status_code == 200
    assert [call.url for call in asked if code in call.url.partition("#")[0] or str(session) in call.url] == []
    assert code not in relay.log


def test_a_used_code_says_so_and_the_token_is_asked_for(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=f"{REFUSED}|40\\d|Failed to load resource")
    code = make_code(relay)
    assert relay.post("/session/redeem", {"code": code}).status_code == 201
    page.goto(f"{relay.url}/#code={code}")
    expect(page.locator(".toast")).to_contain_text("Could not sign in with this link")
    expect(page.locator(".toast code")).to_have_text(re.compile(r"[a-z-]+ · request \S+"))
    expect(dialog_of(page).get_by_label("Token", exact=True)).to_be_focused()
    assert page.url == f"{relay.url}/"
    enter(page, TOKEN)
    expect(page.locator(".line.is-live")).to_be_attached()


def test_where_a_session_ends_the_dialog_comes_over_what_is_shown(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    page.goto(f"{relay.url}/agents#code={make_code(relay)}")
    expect(page.get_by_role("link", name="alice", exact=True)).to_be_visible()
    expect(page.locator(".line.is-live")).to_be_attached()
    # Apart from the page: another tab, or the tray, may end it.
    ended = requests.delete(f"{relay.api}/session", headers=auth(str(stored(page))), timeout=DEADLINE_S)
    assert ended.status_code == 204
    expect(dialog_of(page)).to_be_visible()  # without a call of the page: its line ends with the session
    expect(page.get_by_role("link", name="alice", exact=True, include_hidden=True)).to_be_visible()
    enter(page, TOKEN)
    expect(dialog_of(page)).to_have_count(0)
    expect(page.locator(".line.is-live")).to_be_attached()
    assert relay.post("/agents", {"id": "bob"}, headers=auth()).status_code == 201
    expect(page.get_by_role("link", name="bob", exact=True)).to_be_visible()


def test_after_a_restart_with_another_token_what_was_shown_is_still_there(
    make_page: MakePage, make_relay: MakeRelay
) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=AWAY)
    page.goto(f"{relay.url}/agents")
    expect(dialog_of(page).get_by_label("Token", exact=True)).to_be_focused()
    enter(page, TOKEN)
    expect(page.get_by_role("link", name="alice", exact=True)).to_be_visible()
    expect(page.locator(".line.is-live")).to_be_attached()
    relay.stop()
    relay.settings["AGENT_RELAY_TOKEN"] = OTHER
    relay.start()
    dialog = dialog_of(page)
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("link", name="alice", exact=True, include_hidden=True)).to_be_visible()
    enter(page, OTHER)
    expect(dialog).to_have_count(0)
    expect(page.locator(".line.is-live")).to_be_attached()
    assert stored(page) == OTHER


def test_signing_out_forgets_the_token_and_ends_the_session(make_page: MakePage, make_relay: MakeRelay) -> None:
    relay = make_secured_relay(make_relay)
    page = make_page(allow=REFUSED)
    page.goto(f"{relay.url}/system#code={make_code(relay)}")
    out = page.get_by_role("button", name="Sign out of this browser")
    expect(out).to_be_visible()
    expect(page.locator(".line.is-live")).to_be_attached()
    session = str(stored(page))
    out.click()
    expect(dialog_of(page).get_by_label("Token", exact=True)).to_be_focused()
    assert stored(page) is None
    assert relay.get("/stats", headers=auth(session)).status_code == 401
    assert relay.get("/stats", headers=auth()).status_code == 200, "the shared token is left alone"
