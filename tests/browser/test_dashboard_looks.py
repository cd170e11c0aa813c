"""How the dashboard looks: to axe, on a phone, in both themes, and in the field's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakePage, shown
from tests.conftest import MakeRelay
from tests.factories import ROOT, Json, Relay, answer, make_agent, make_message, make_work, wait_until
from tests.integrations import (
    SECRET,
    Receiver,
    configured,
    deliveries,
    make_integration,
    make_task,
    move,
    post_event,
    receiving,
)

AXE = ROOT / ".venv/web/node_modules/axe-core/axe.min.js"
TOKEN = "a-token-of-thirty-two-characters"
SIZES = {1280: 800, 390: 844}
HOSTILE = "<img src=x onerror=alert(1)> \u202egnp.exe\u202c \u200bhidden \x1b[31mred\x1b[0m " + "long" * 60

#: A screen, and what is there once it is drawn in full.
Address = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """A relay, and the addresses to look at."""

    relay: Relay
    addresses: tuple[Address, ...]


def make_data(relay: Relay) -> dict[str, int]:
    """Agents, messages, tasks and callbacks in every state; numbers of some."""
    make_agent(
        relay,
        id="ada",
        labels=["Lead", "Night shift"],
        tags=["ops", "backend"],
        capabilities=["chat"],
        project="shop",
        rig="claude",
        host="mill",
        version="1.2",
        meta={"branch": "main"},
        wakePaths=[{"name": "monitor", "armed": True}, {"name": "hook", "armed": False}],
        promptChars=1200,
    )
    make_agent(relay, id="bob", tags=["ops"], status="busy", ready=False)
    make_agent(relay, id="cy", tags=["ops"], status="idle")
    make_agent(relay, id="an-agent-whose-id-is-as-long-as-ids-may-be." + "x" * 84, labels=[HOSTILE[:120]])
    relay.patch("/agents/cy", {"status": "offline"})
    first = make_message(
        relay, from_="ada", to="bob", subject="Build 512", body="It is green.\n\n```sh\nmake test\n```\n"
    )
    make_message(relay, from_="bob", to="ada", replyTo=first["id"], body="Thanks: `ok` https://ci.example/512")
    make_message(relay, from_="ada", to="human", subject="May I deploy?", priority="urgent")
    make_message(relay, from_="human", to="broadcast", body="Good morning", priority="low")
    make_message(relay, from_="ada", to="bob", subject=HOSTILE, body=HOSTILE, channel="alerts")
    make_message(relay, from_="human", to="nobody-yet", body="Are you there?", priority="high")
    work = make_work(relay, to="tag:ops", subject="Clean up")
    answer(relay.post(f"/messages/{work}/claim", {"agentId": "ada"}))
    answer(relay.post(f"/messages/{work}/release", {"agentId": "ada"}))
    answer(relay.post(f"/messages/{work}/claim", {"agentId": "ada"}))
    relay.post(f"/messages/{work}/claim", {"agentId": "bob"})
    make_work(relay, to="tag:ops", subject="Sweep")
    fought = make_tasks(relay)
    return {"thread": first["id"], "task": fought, "work": work}


def make_tasks(relay: Relay) -> int:
    """A task in every state; the one that was fought over."""
    severities = ["info", "warning", "error", "critical"]
    target: Json = {"target": "tag:ops"}
    ids = [
        make_task(relay, title=f"Task that is {status}", severity=severities[at % 4], body="See `df -h`.", **target)[
            "id"
        ]
        for at, status in enumerate(["open", "claimed", "in_progress", "blocked", "done", "failed", "cancelled"])
    ]
    for task in ids[1:]:
        answer(relay.post(f"/tasks/{task}/claim", {"agentId": "ada"}))
    relay.post(f"/tasks/{ids[2]}/claim", {"agentId": "bob"})
    move(relay, ids[2], "in_progress", agentId="ada", progress=40, note="On it")
    move(relay, ids[3], "blocked", agentId="ada")
    move(relay, ids[4], "done", agentId="ada", result={"url": "https://ci.example"})
    move(relay, ids[5], "failed", agentId="ada", result="No room")
    move(relay, ids[6], "cancelled")
    make_task(relay, title=HOSTILE, body=HOSTILE, externalUrl="https://ci.example/" + "a" * 300, **target)
    for status in (201, 200, 200):
        post_event(relay, dedupeKey="disk", title="Disk full", status=status, metadata={"free": 0}, **target)
    make_task(relay, source="told", title="Told elsewhere", **target)
    return int(ids[2])


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """It has gone, and says so."""
    with receiving(lambda _call: (410, b"gone <b>for good</b>", {"Content-Type": "text/html"})) as found:
        yield found


@pytest.fixture(scope="module")
def filled(make_module_relay: MakeRelay, receiver: Receiver) -> Place:
    relay = make_module_relay(
        **configured(
            make_integration("ops", targets=["tag:ops"], channels=["alerts"]),
            make_integration("told", callbackUrl=receiver.url, callbackSecret=SECRET),
        )
    )
    data = make_data(relay)
    wait_until(lambda: any(one["attempts"] for one in deliveries(relay)), "a callback was tried")
    callback = deliveries(relay)[0]["id"]
    return Place(
        relay,
        (
            ("/", ".feed-line"),
            ("/?kind=messages", ".feed-line"),
            ("/agents", ".agent-card"),
            ("/agents?view=table", "a.agent-row"),
            ("/agents/ada", ".agent-drawer .facts"),
            ("/agents/ada?show=inbox", ".agent-drawer .mail, .agent-drawer .agent-pane p"),
            ("/agents/nobody-of-this-id", ".agent-drawer .empty"),
            ("/threads", ".thread-row"),
            (f"/threads/{data['thread']}", ".letter .receipts"),
            (f"/threads/{data['work']}", ".letter .receipts"),
            ("/threads?q=nothing-has-these-words", "text=No threads match"),
            ("/tasks", "a.card"),
            ("/tasks?view=table", "tr.row"),
            (f"/tasks/{data['task']}", ".task-detail .tries"),
            ("/tasks/999999", ".task-detail .empty"),
            ("/map", ".matrix"),
            ("/map?view=graph", ".graph, svg >> nth=0"),
            ("/timeline", ".recent"),
            (f"/timeline/{data['task']}", ".told-line"),
            ("/integrations", ".integration"),
            (f"/integrations?callback={callback}", ".delivery .attempts"),
            ("/join", ".join-step"),
            ("/join?client=python", ".join-step"),
            ("/system", ".settings tbody tr"),
        ),
    )


@pytest.fixture(scope="module")
def empty(make_module_relay: MakeRelay) -> Place:
    waiting = "main .empty"
    return Place(
        make_module_relay(),
        (
            ("/", waiting),
            ("/agents", waiting),
            ("/agents/ada", ".agent-drawer .empty"),
            ("/threads", waiting),
            ("/threads/1", "text=There is no message 1"),
            ("/tasks", waiting),
            ("/tasks?view=table", waiting),
            ("/tasks/1", ".task-detail .empty"),
            ("/map", waiting),
            ("/map?view=graph", waiting),
            ("/timeline", waiting),
            ("/timeline/1", ".timeline-form .trouble"),
            ("/integrations", waiting),
            ("/integrations?callback=1", ".delivery .empty"),
            ("/join", ".join-step"),
            ("/system", ".settings tbody tr"),
        ),
    )


@pytest.fixture(scope="module")
def secured(make_module_relay: MakeRelay) -> Relay:
    return make_module_relay(AGENT_RELAY_TOKEN=TOKEN)


def visits(page: Page, place: Place) -> Iterator[str]:
    """Every address and everything that opens over the page, one after the other, each drawn in full; what it is."""
    shown(page, place.relay)
    for address, there in place.addresses:
        visit(page, address, there)
        yield address
    visit(page, "/join", ".join-step")
    for key, name in (("Control+k", "Find or do anything"), ("?", "Keys"), ("c", "Message")):
        page.keyboard.press(key)
        dialog = page.get_by_role("dialog", name=name, exact=True)
        expect(dialog).to_be_visible()
        yield name
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def visit(page: Page, address: str, there: str) -> None:
    """Go to an address as a step back or forward does, without loading the page anew."""
    page.evaluate("to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }", address)
    page.locator(there).first.wait_for(state="attached")
    page.locator(".starting, [aria-busy=true]").first.wait_for(state="detached")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


#: All that axe has to say on colours; nothing else depends on the theme.
CONTRAST = ["color-contrast", "link-in-text-block"]


def violations(page: Page, *, only: list[str] | None = None) -> list[str]:
    """What axe has against the page as it is, by all of its rules or some."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[Any] = page.evaluate(
        """async only => {
            const { violations, passes } = await axe.run(document, only === null ? {} : { runOnly: only });
            if (passes.length === 0) throw new Error("axe has looked at nothing");
            return violations.map(({ id, nodes: [first, ...more] }) =>
                [id, more.length + 1, first.html.slice(0, 200), first.failureSummary]);
        }""",
        only,
    )
    return [f"{rule} ({count}×): {html}\n    {why}" for rule, count, html, why in found]


SIDEWAYS = """() => {
    const main = document.querySelector("main");
    const page = document.scrollingElement;
    const found = [];
    if (page.scrollWidth > innerWidth) found.push(`the page is ${page.scrollWidth} wide`);
    if (main.scrollWidth > main.clientWidth) found.push(`main is ${main.scrollWidth} wide, of ${main.clientWidth}`);
    return found;
}"""

#: Whatever is pressed is 44 px high. Left out, as in WCAG 2.5.5: links within text, and the signs of a timeline's
#: lanes, each of which has its line in the list below them. Boxes and ranges have their label as a target.
SMALL = """() => {
    const found = [];
    const pressed = "button:not(.sign), select, input:not([type=checkbox], [type=range]), textarea, summary";
    for (const element of document.querySelectorAll(`${pressed}, nav a, a.button, a.tile, a[data-row]`)) {
        const style = getComputedStyle(element);
        if (!element.checkVisibility({ visibilityProperty: true }) || element.closest("[inert]") !== null) continue;
        if (style.display === "inline") continue;
        // A row of a table is hit as a whole.
        const box = (element.closest("tr.row") ?? element).getBoundingClientRect();
        if (box.height > 0 && box.height < 43.5)
            found.push(`${Math.round(box.height)} px: ${element.outerHTML.slice(0, 120)}`);
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_axe_has_nothing_against_the_token_dialog(make_page: MakePage, secured: Relay, theme: str, width: int) -> None:
    page = make_page(theme=theme, width=width, height=SIZES[width], allow="401")
    page.goto(secured.url)
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert violations(page) == []
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    assert violations(page) == []


WORDS = """() => {
    const said = [document.title, document.body.innerText];
    for (const element of document.querySelectorAll("*"))
        for (const name of ["aria-label", "placeholder", "title", "alt", "aria-description", "aria-valuetext"])
            if (element.hasAttribute(name)) said.push(element.getAttribute(name));
    for (const element of document.querySelectorAll(".unseen, option, summary")) said.push(element.textContent);
    return said.join("\\n");
}"""
#: Not the field's words: style.md, section 5.
FOREIGN = re.compile(r"\b(jobs?|tickets?|lock(?:s|ed)?|rooms?|users?|bots?|topics?)\b", re.IGNORECASE)
#: Where the word is the thing's own name: no other would be understood.
OWN = re.compile(r"No room")  # what an agent said


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("data", ["filled", "empty"])
def test_every_screen_suits_axe_in_both_themes_a_phone_and_the_contract(
    make_page: MakePage, request: pytest.FixtureRequest, data: str, width: int
) -> None:
    """One walk through all of them, since to draw each is what takes its time."""
    page = make_page(width=width, height=SIZES[width], allow="404")
    found: list[str] = []
    for what in visits(page, request.getfixturevalue(data)):
        said = violations(page)
        page.emulate_media(color_scheme="dark")
        said += [f"dark: {one}" for one in violations(page, only=CONTRAST)]
        page.emulate_media(color_scheme="light")
        said += [line for line in str(page.evaluate(WORDS)).splitlines() if FOREIGN.search(OWN.sub("", line))]
        if width == 390:
            said += page.evaluate(SIDEWAYS) + page.evaluate(SMALL)
        found += [f"{what}: {one}" for one in said]
    assert "\n".join(found) == ""


def test_the_theme_of_the_system_is_taken_and_a_choice_stays(make_page: MakePage, empty: Place) -> None:
    page = shown(make_page(theme="dark"), empty.relay, "/system")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("group", name="Theme").get_by_role("button", name="Light").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == light
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.get_by_role("group", name="Theme").get_by_role("button", name="Automatic").click()
    assert page.evaluate(ground) == dark
