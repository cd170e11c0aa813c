"""Everything from the keyboard alone: going, moving, finding, acting, and where the focus is afterwards."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import shown
from tests.conftest import MakeRelay
from tests.factories import Relay, answer, make_agent, make_message, unique
from tests.integrations import configured, make_integration, make_task

SCREENS = {
    "n": ("/", "Now"),
    "a": ("/agents", "Agents"),
    "t": ("/threads", "Threads"),
    "k": ("/tasks", "Tasks"),
    "m": ("/map", "Map"),
    "l": ("/timeline", "Timeline"),
    "i": ("/integrations", "Integrations"),
    "j": ("/join", "Join"),
    "s": ("/system", "System"),
}
PALETTE = "Find or do anything"


@pytest.fixture(scope="module")
def relay(make_module_relay: MakeRelay) -> Relay:
    """Two agents, two threads and two tasks, which no test of this file changes."""
    relay = make_module_relay(**configured(make_integration()))
    make_agent(relay, id="ada", labels=["Lead"], tags=["ops"])
    make_agent(relay, id="bob", tags=["ops"])
    make_message(relay, from_="ada", to="human", subject="May I deploy?", body="A flamingo in the log")
    make_message(relay, from_="ada", to="bob", subject="Build 512")
    for title in ("Disk full", "Certificate expires"):
        make_task(relay, target="tag:ops", title=title)
    return relay


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def palette(page: Page, text: str) -> None:
    """Open it, and type."""
    press(page, "Control+k")
    expect(page.get_by_role("combobox", name=PALETTE)).to_be_focused()
    page.keyboard.type(text)


def chosen(page: Page) -> Locator:
    """What Enter would take of the palette."""
    return page.locator('#palette-list [aria-selected="true"]')


def focused(page: Page) -> str:
    """What has the focus, in a few words."""
    return str(
        page.evaluate(
            """() => {
                const it = document.activeElement;
                const name = it.getAttribute("aria-label") ?? it.getAttribute("href") ?? it.textContent.trim();
                return `${it.localName} ${name.slice(0, 60)}`;
            }"""
        )
    )


def test_g_and_a_letter_go_to_every_screen(page: Page, relay: Relay) -> None:
    shown(page, relay, "/join")
    for key, (path, name) in SCREENS.items():
        press(page, "g", key)
        expect(page).to_have_url(relay.url + path)
        expect(page.get_by_role("main", name=name)).to_be_visible()
        expect(page).to_have_title(re.compile(rf"{name} · Agent Relay$"))
        expect(page.locator('nav [aria-current="page"]')).to_have_attribute("href", path)


def test_j_and_k_go_from_row_to_row_and_enter_opens_one(page: Page, relay: Relay) -> None:
    shown(page, relay, "/threads")
    rows = page.locator("main [data-row]")
    expect(rows.nth(1)).to_be_visible()
    press(page, "j")
    expect(rows.nth(0)).to_be_focused()
    press(page, "j")
    expect(rows.nth(1)).to_be_focused()
    press(page, "k")
    expect(rows.nth(0)).to_be_focused()
    press(page, "k")
    expect(rows.nth(0)).to_be_focused()
    press(page, "j", "Enter")
    expect(page).to_have_url(re.compile(r"/threads/\d+"))
    expect(page.get_by_role("region", name="Thread", exact=True)).to_be_visible()
    press(page, "Escape")
    expect(page).to_have_url(f"{relay.url}/threads")


LISTS = {
    "/": "/",
    "/agents": "/agents/ada",
    "/agents?view=table": "/agents/ada?view=table",
    "/tasks": "/tasks/",
    "/tasks?view=table": "/tasks/",
    "/map": "/threads?from=",
    "/timeline": "/timeline/",
}


def test_every_list_has_rows_to_go_through(page: Page, relay: Relay) -> None:
    shown(page, relay, "/join")
    for path, opened in LISTS.items():
        page.evaluate("to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }", path)
        row = page.locator(f".screen-{path.partition('?')[0][1:] or 'now'} [data-row]").first
        expect(row).to_be_visible()
        press(page, "j")
        expect(row).to_be_focused()
        press(page, "Enter")
        expect(page).to_have_url(re.compile(re.escape(relay.url + opened)))


@pytest.mark.parametrize("path", ["/agents", "/tasks"])
def test_esc_leads_out_of_what_is_open_and_back_to_its_row(page: Page, relay: Relay, path: str) -> None:
    shown(page, relay, path)
    row = page.locator("main [data-row]").first
    expect(row).to_be_visible()
    press(page, "j", "Enter")
    expect(page.get_by_role("complementary")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('aside') !== null"), "the focus is in what was opened"
    press(page, "Escape")
    expect(page.get_by_role("complementary")).to_have_count(0)
    expect(page).to_have_url(relay.url + path)
    expect(row).to_be_focused()


def test_slash_leads_to_the_filter_and_esc_out_of_it(page: Page, relay: Relay) -> None:
    shown(page, relay)
    for path, name in (
        ("a", "Find by id"),
        ("t", "Search the text"),
        ("k", "Search the text"),
        ("m", "Agent or target"),
    ):
        press(page, "g", path)
        field = page.get_by_role("searchbox", name=name)
        expect(field).to_be_visible()
        press(page, "/")
        expect(field).to_be_focused()
        expect(field).to_have_value("")
        press(page, "Escape")
        expect(field).not_to_be_focused()
    press(page, "g", "n")
    expect(page.locator(".feed-line").first).to_be_visible()
    press(page, "/")
    expect(page.get_by_role("dialog", name=PALETTE)).to_be_visible()


def test_typing_in_a_field_is_no_shortcut(page: Page, relay: Relay) -> None:
    shown(page, relay, "/threads")
    press(page, "/")
    field = page.get_by_role("searchbox", name="Search the text")
    expect(field).to_be_focused()
    page.keyboard.type("gn?cjk/")
    expect(field).to_have_value("gn?cjk/")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.url.startswith(f"{relay.url}/threads?q=gn")
    press(page, "Escape", "c")
    dialog = page.get_by_role("dialog", name="Message", exact=True)
    expect(dialog.get_by_label("To", exact=True)).to_be_focused()
    page.keyboard.type("g a? j/c")
    expect(dialog.get_by_label("To", exact=True)).to_have_value("g a? j/c")
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_keys_with_a_modifier_are_the_browsers(page: Page, relay: Relay) -> None:
    shown(page, relay, "/join")
    for key in ("Control+c", "Alt+c", "Control+j", "Control+?"):
        press(page, key)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).to_have_url(f"{relay.url}/join")


def test_the_sheet_tells_every_key_that_there_is(page: Page, relay: Relay) -> None:
    shown(page, relay)
    press(page, "?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_be_visible()
    told = sheet.locator("dt .keys").evaluate_all(
        "all => all.map(keys => [...keys.children].map(key => key.textContent).join(' '))"
    )
    assert set(told) == {f"g {key}" for key in SCREENS} | {"Ctrl k", "c", "/", "?", "j", "k", "Enter", "Esc"}
    press(page, "g", "a")
    expect(page).to_have_url(f"{relay.url}/")
    press(page, "Escape")
    expect(sheet).to_have_count(0)


def test_focus_returns_to_where_it_was_when_a_dialog_closes(page: Page, relay: Relay) -> None:
    shown(page, relay, "/threads")
    row = page.locator("main [data-row]").first
    expect(row).to_be_visible()
    press(page, "j")
    expect(row).to_be_focused()
    for key in ("Control+k", "?", "c"):
        press(page, key)
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate("document.activeElement.closest('dialog') !== null"), "the focus is in the dialog"
        press(page, "Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(row).to_be_focused()


def test_esc_and_the_key_that_opened_it_close_the_palette(page: Page, relay: Relay) -> None:
    shown(page, relay)
    dialog = page.get_by_role("dialog", name=PALETTE)
    for close in ("Control+k", "Escape", "Escape"):
        press(page, "Control+k")
        expect(dialog).to_be_visible()
        press(page, close)
        expect(dialog).to_have_count(0)


# -- the palette -------------------------------------------------------------------------------------------------------


def test_the_palette_goes_to_a_screen(page: Page, relay: Relay) -> None:
    shown(page, relay)
    palette(page, "go to integr")
    expect(chosen(page)).to_contain_text("Integrations")
    press(page, "Enter")
    expect(page).to_have_url(f"{relay.url}/integrations")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("text", ["ada", "lead"])
def test_the_palette_finds_an_agent_by_id_and_label(page: Page, relay: Relay, text: str) -> None:
    shown(page, relay)
    palette(page, text)
    expect(chosen(page)).to_contain_text("ada")
    press(page, "Enter")
    expect(page).to_have_url(f"{relay.url}/agents/ada")


def test_the_palette_finds_a_task_by_number_and_by_title(page: Page, relay: Relay) -> None:
    task = answer(relay.get("/tasks", params={"q": "Disk"}))["tasks"][0]["id"]
    shown(page, relay)
    palette(page, f"#{task}")
    expect(page.get_by_role("option", name=f"Message {task}")).to_be_visible()
    press(page, "ArrowDown")
    expect(chosen(page)).to_contain_text(f"Task {task}")
    press(page, "Enter")
    expect(page).to_have_url(f"{relay.url}/tasks/{task}")
    palette(page, "disk full")
    expect(chosen(page)).to_contain_text("Disk full")
    press(page, "Enter")
    expect(page.get_by_role("complementary", name=f"Task {task}")).to_be_visible()


def test_the_palette_finds_a_message_by_its_text(page: Page, relay: Relay) -> None:
    shown(page, relay)
    palette(page, "flamingo")
    expect(chosen(page)).to_contain_text("May I deploy?")
    press(page, "Enter")
    expect(page).to_have_url(re.compile(r"/threads/\d+\?at=\d+$"))
    expect(page.locator(".letter.is-here")).to_contain_text("A flamingo in the log")


def test_the_palette_writes_to_an_agent(page: Page, relay: Relay) -> None:
    shown(page, relay)
    palette(page, "write to bob")
    press(page, "Control+a")
    page.keyboard.type("bob")
    page.get_by_role("option", name=re.compile("Write to bob")).wait_for()
    press(page, "ArrowDown")
    expect(chosen(page)).to_contain_text("Write to bob")
    press(page, "Enter")
    dialog = page.get_by_role("dialog", name="Message", exact=True)
    expect(dialog.get_by_label("To", exact=True)).to_have_value("bob")
    expect(dialog.get_by_label("Message", exact=True)).to_be_focused()


def test_the_palette_acts(page: Page, relay: Relay) -> None:
    shown(page, relay)
    palette(page, "light and dark")
    press(page, "Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_palette_says_when_there_is_nothing(page: Page, relay: Relay) -> None:
    shown(page, relay)
    palette(page, unique("nothing"))
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("Nothing by that name, number or text.")
    press(page, "ArrowDown", "ArrowUp", "Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


# -- without a mouse ---------------------------------------------------------------------------------------------------


def test_the_first_stop_skips_the_navigation(page: Page, relay: Relay) -> None:
    shown(page, relay, "/threads")
    expect(page.locator("main [data-row]").first).to_be_visible()
    press(page, "Tab")
    skip = page.get_by_role("link", name="Skip to Threads")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    press(page, "Enter")
    expect(page.get_by_role("main")).to_be_focused()
    press(page, "Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("path", ["/", "/threads"])
def test_tab_reaches_everything_and_in_the_order_of_the_page(page: Page, relay: Relay, path: str) -> None:
    shown(page, relay, path)
    expect(page.locator("main [data-row]").first).to_be_visible()
    if path == "/":
        expect(page.get_by_role("region", name="Needs a human").locator("[data-row]").first).to_be_visible()
    stops = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
        .filter(it => it.checkVisibility({visibilityProperty: true}) && !it.disabled && it.tabIndex >= 0)"""
    wanted = page.evaluate(f"({stops})().length")
    order = []
    for _ in range(wanted):
        press(page, "Tab")
        order.append(page.evaluate(f"({stops})().indexOf(document.activeElement)"))
        assert order[-1] >= 0, f"nobody can see the focus: {focused(page)}"
    assert order == list(range(wanted))


def test_what_has_the_focus_can_be_seen(page: Page, relay: Relay) -> None:
    shown(page, relay, "/threads")
    expect(page.locator("main [data-row]").first).to_be_visible()
    for _ in range(30):
        press(page, "Tab")
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2, focused(page)
