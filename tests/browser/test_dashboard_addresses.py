"""The address says what is shown: it survives reload, back and forward, and what it cannot mean does no harm."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import MakePage, shown
from tests.conftest import MakeRelay
from tests.factories import Relay, answer, in_threads, make_agent, make_message
from tests.integrations import configured, make_integration, make_task

NOT_FOUND = "404"


@pytest.fixture(scope="module")
def relay(make_module_relay: MakeRelay) -> Relay:
    """Agents, threads and tasks of two kinds, which no test of this file changes."""
    relay = make_module_relay(**configured(make_integration(), make_integration("ci", targets=["tag:ops"])))
    make_agent(relay, id="ada", tags=["ops"], project="shop")
    make_agent(relay, id="bob", tags=["backend"], status="busy")
    make_message(relay, from_="ada", to="bob", subject="Build 512")
    make_message(relay, from_="ada", to="human", subject="May I deploy?")
    first = make_task(relay, target="tag:ops", title="Disk full", severity="critical")["id"]
    make_task(relay, source="ci", target="tag:ops", title="Build fails", severity="warning")
    answer(relay.post(f"/tasks/{first}/claim", {"agentId": "ada"}))
    return relay


def rows(page: Page) -> Locator:
    return page.locator("main [data-row]:visible")


def step(page: Page, address: str) -> None:
    """Go to an address as a step back or forward does, without loading the page anew."""
    page.evaluate("to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')) }", address)


def void(_: object) -> None:
    """What Playwright answers is of no use here."""


def select(page: Page, name: str) -> Locator:
    return page.get_by_role("main").get_by_role("combobox", name=name, exact=True)


def by_search(name: str, text: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("main").get_by_label(name, exact=True).fill(text)


def by_choice(name: str, value: str) -> Callable[[Page], None]:
    return lambda page: void(select(page, name).select_option(value))


def by_button(group: str, name: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("group", name=group).get_by_role("button", name=re.compile(name)).click()


#: A screen, what is done, the address that it makes, and what is left to see.
FILTERS = {
    "agents by status": ("/agents", by_button("Status", "busy"), "status=busy", "bob"),
    "agents by project": ("/agents", by_choice("Project", "shop"), "project=shop", "ada"),
    "agents by text": ("/agents", by_search("Find by id, label, project…", "backend"), "q=backend", "bob"),
    "threads by text": ("/threads", by_search("Search the text", "512"), "q=512", "Build 512"),
    "threads by target": ("/threads", by_search("To", "human"), "to=human", "May I deploy?"),
    "tasks by severity": ("/tasks", by_choice("Severity", "critical"), "severity=critical", "Disk full"),
    "tasks by source": ("/tasks?view=table", by_choice("Source", "ci"), "view=table&source=ci", "Build fails"),
    "map by agent": ("/map", by_search("Agent or target", "bob"), "q=bob", "ada"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_in_the_address_and_survives_reload_back_and_forward(page: Page, relay: Relay, name: str) -> None:
    path, choose, query, left = FILTERS[name]
    shown(page, relay, "/join")
    step(page, path)
    expect(rows(page).first).to_be_visible()
    before = page.url
    choose(page)
    filtered = f"{relay.url}{path.partition('?')[0]}?{query}"
    expect(page).to_have_url(filtered)
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(left)
    page.reload()
    expect(page).to_have_url(filtered)
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(left)
    page.go_back()
    # Typing takes the place of the address before it; a choice has one of its own.
    back = f"{relay.url}/join" if "q=" in query or "to=" in query else before
    expect(page).to_have_url(back)
    page.go_forward()
    expect(page).to_have_url(filtered)
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(left)


def test_callbacks_are_filtered_by_the_address_alone(page: Page, relay: Relay) -> None:
    shown(page, relay, "/integrations")
    page.get_by_role("group", name="State").get_by_role("button", name="dead").click()
    expect(page).to_have_url(f"{relay.url}/integrations?state=dead")
    select(page, "Integration").select_option("ci")
    expect(page).to_have_url(f"{relay.url}/integrations?state=dead&integration=ci")
    page.reload()
    expect(page.get_by_role("button", name="dead", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(select(page, "Integration")).to_have_value("ci")
    expect(page.get_by_role("heading", name="No callbacks match these filters")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(f"{relay.url}/integrations?state=dead")
    page.go_forward()
    expect(select(page, "Integration")).to_have_value("ci")


#: A screen, and what its address cannot mean.
MEANINGLESS = [
    ("/agents", "status=asleep&view=pie&ready=maybe"),
    ("/agents", "status=online,asleep"),
    ("/threads", "unread=maybe&before=x"),
    ("/tasks", "status=nearly&severity=awful&view=pie&sort=luck&column=x"),
    ("/tasks", "view=table&sort=--title"),
    ("/map", "view=globe&last=3y&from=yesterday"),
    ("/timeline", "gaps=maybe&lane=x"),
    ("/integrations", "state=tired&task=x&callback=-1"),
    ("/join", "client=fax&id=human"),
    ("/system", "settings=x"),
]


def test_what_an_address_cannot_mean_is_as_if_it_were_not_there(page: Page, relay: Relay) -> None:
    problems: list[str] = []
    page.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
    shown(page, relay, "/?kind=nonsense")
    expect(rows(page).first).to_be_visible()
    there = {"/integrations": "article", "/join": ".join-step", "/system": ".settings tbody tr"}
    for path, wrong in MEANINGLESS:
        step(page, f"{path}?{wrong}")
        expect(page.locator(f".screen-{path[1:]}").locator(there.get(path, "[data-row]:visible")).first).to_be_visible()
        expect(page.get_by_role("main")).not_to_contain_text("match these filters")
        expect(page.locator(".trouble, .toast")).to_have_count(0)
        expect(page.get_by_role("button", name="Clear filters")).to_have_count(0)
    assert problems == []


def test_what_was_dropped_does_not_come_back_with_the_next_choice(page: Page, relay: Relay) -> None:
    shown(page, relay, "/tasks?severity=awful&source=ci&more=1")
    expect(rows(page)).to_have_count(1)
    select(page, "Status").select_option("open")
    expect(page).to_have_url(f"{relay.url}/tasks?source=ci&status=open")


def test_an_address_of_no_screen_is_the_relays_to_answer(make_page: MakePage, relay: Relay) -> None:
    page = make_page(allow=NOT_FOUND)
    answered = page.goto(f"{relay.url}/tickets")
    assert answered is not None
    assert answered.status == 404
    assert answered.headers["content-type"] == "application/problem+json"


def test_within_the_page_an_unknown_screen_says_so(page: Page, relay: Relay) -> None:
    shown(page, relay)
    step(page, "/tickets")
    expect(page.get_by_role("heading", name="There is nothing at this address")).to_be_visible()
    expect(page).to_have_title(re.compile("Not found"))
    page.get_by_role("link", name="Go to Now").click()
    expect(page).to_have_url(f"{relay.url}/")
    expect(page.get_by_role("region", name="Live")).to_be_visible()


NOT_THERE = [
    ("/agents/nobody", "No agent of this id is registered"),
    ("/agents/%2e%2e%2Fx", "No agent of this id is registered"),
    ("/threads/999999", "There is no message 999999"),
    ("/threads/twelve", "twelve is no message’s number"),
    ("/threads/99999999999999999999", "is no message’s number"),
    ("/tasks/999999", "There is no task 999999"),
    ("/tasks/twelve", "twelve is no task’s number"),
    ("/timeline/999999", "There is no task or message 999999"),
    ("/timeline/twelve", "is not the number of a task or message"),
    ("/integrations/none-such", "No integration named none-such is in force"),
    ("/integrations?callback=999999", "There is no callback 999999"),
    ("/threads/%E0%A4%A", "no message’s number"),
]


def test_what_is_not_there_is_said(make_page: MakePage, relay: Relay) -> None:
    page = shown(make_page(allow=NOT_FOUND), relay, "/tasks/999998")
    expect(page.get_by_role("main")).to_contain_text("There is no task 999998")
    for path, said in NOT_THERE:
        step(page, path)
        expect(page.get_by_role("main")).to_contain_text(said)
    expect(page.locator(".toast")).to_have_count(0)


# -- nothing there, yet or under these filters -------------------------------------------------------------------------


@pytest.fixture
def fresh(make_relay: MakeRelay) -> Relay:
    return make_relay()


@pytest.mark.parametrize("path", ["/", "/agents", "/threads", "/join"])
def test_the_page_waits_for_the_first_agent_and_sees_it_come(page: Page, fresh: Relay, path: str) -> None:
    shown(page, fresh, path)
    main = page.get_by_role("main")
    waiting = main.get_by_text("waiting for the first agent…")
    expect(waiting).to_be_visible()
    if path != "/join":
        command = main.locator(".empty pre")
        expect(command).to_contain_text(f"curl -sS {fresh.url}/api/agents")
        main.get_by_role("button", name="Copy the join command").click()
        expect(page.locator(".toast")).to_contain_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == command.inner_text()
    make_agent(fresh, id="my-first-agent")
    expect(waiting).to_have_count(0)
    if path != "/threads":
        expect(main).to_contain_text("my-first-agent")


def test_the_page_waits_for_the_first_task_and_sees_it_come(page: Page, make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration()))
    shown(page, relay, "/tasks")
    main = page.get_by_role("main")
    expect(main.locator(".empty pre").filter(has_text=f"{relay.url}/api/integrations/events")).to_be_visible()
    expect(main.get_by_text("waiting for the first task…")).to_be_visible()
    make_task(relay, title="Disk full")
    expect(rows(page)).to_contain_text("Disk full")
    expect(main.get_by_text("waiting for the first task…")).to_have_count(0)


FILTERED_EMPTY = [
    ("/agents?q=none-like-this", "agents"),
    ("/threads?q=none-like-this", "threads"),
    ("/tasks?source=none-like-this", "tasks"),
    ("/tasks?view=table&source=none-like-this", "tasks"),
    ("/map?q=none-like-this", "messages"),
]


def test_empty_because_filtered_is_another_matter(page: Page, relay: Relay) -> None:
    shown(page, relay)
    for path, what in FILTERED_EMPTY:
        step(page, path)
        empty = page.locator("main .empty").filter(has_text=f"No {what} match these filters")
        expect(empty).to_be_visible()
        expect(page.get_by_role("main")).not_to_contain_text("waiting for")
        empty.get_by_role("button", name="Clear filters").click()
        expect(empty).to_have_count(0)
        expect(rows(page).first).to_be_visible()
        assert "none-like-this" not in page.url
        assert ("view=table" in page.url) == ("view=table" in path), "how it is shown is no filter"


# -- what a visit costs ------------------------------------------------------------------------------------------------


def test_a_first_visit_transfers_little_and_a_reload_fetches_no_file_again(
    make_page: MakePage, make_relay: MakeRelay
) -> None:
    relay = make_relay()
    in_threads(8, lambda part: [make_agent(relay, id=f"agent-{part}-{n}", tags=["ops"]) for n in range(25)])
    page = make_page()
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    paths: dict[str, str] = {}
    sizes: dict[str, int] = {}
    cached: set[str] = set()

    def answered(event: dict[str, object]) -> None:
        response = event["response"]
        assert isinstance(response, dict)
        request = str(event["requestId"])
        paths[request] = str(response["url"]).removeprefix(relay.url)
        if response.get("fromDiskCache") or response.get("fromPrefetchCache"):
            cached.add(request)

    network.on("Network.responseReceived", answered)
    network.on("Network.requestServedFromCache", lambda event: cached.add(event["requestId"]))
    network.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    shown(page, relay)
    expect(page.locator(".feed-line").first).to_be_visible()
    total = sum(sizes.values())
    assert len([path for path in paths.values() if path.startswith("/static/")]) > 20, "it was looked at"
    assert 0 < total <= 150_000, sorted(((size, paths.get(request)) for request, size in sizes.items()), reverse=True)
    for seen in (paths, sizes, cached):
        seen.clear()
    page.reload()
    page.locator(".line.is-live").wait_for(state="attached")
    expect(page.locator(".feed-line").first).to_be_visible()
    assert any(path == "/" for path in paths.values())
    fetched = [path for request, path in paths.items() if path.startswith("/static/") and request not in cached]
    assert fetched == []
