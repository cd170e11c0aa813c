"""What a person does with tasks, callbacks and integrations: seen in the page, and at the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakePage, shown, toast
from tests.conftest import MakeRelay
from tests.factories import (
    Relay,
    answer,
    make_agent,
    unique,
    wait_until,
)
from tests.integrations import (
    SECRET,
    Call,
    Receiver,
    Reply,
    configured,
    deliveries,
    get_task,
    history,
    make_integration,
    make_task,
    receiving,
)

#: What the browser itself says of an answer that is an error.
ERROR_ANSWER = "Failed to load resource"


class Switch:
    """A receiver of callbacks that can be mended."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, _call: Call) -> Reply:
        return (500, b"out of order", {}) if self.broken else (204, b"", {})


@pytest.fixture(scope="module")
def switch() -> Switch:
    return Switch()


@pytest.fixture(scope="module")
def receiver(switch: Switch) -> Iterator[Receiver]:
    with receiving(switch) as found:
        yield found


@pytest.fixture(scope="module")
def relay(make_module_relay: MakeRelay, receiver: Receiver) -> Relay:
    """Shared by the tests of this file, each of which takes names of its own."""
    return make_module_relay(
        **configured(make_integration(), make_integration("told", callbackUrl=receiver.url, callbackSecret=SECRET))
    )


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_a_task_is_claimed_moved_released_and_closed_and_its_history_says_so(page: Page, relay: Relay) -> None:
    tag = unique("ops")
    bob = make_agent(relay, id=unique("bob"), tags=[tag])
    task = make_task(relay, target=f"tag:{tag}", title="Disk full")["id"]
    shown(page, relay, f"/tasks/{task}")
    detail = page.get_by_role("complementary", name=f"Task {task}")
    newest = detail.locator(".history li").first
    detail.get_by_role("button", name="Claim", exact=True).click()
    expect(newest).to_contain_text(f"claimed by {bob}")
    detail.get_by_role("button", name="Release").click()
    expect(newest).to_contain_text("released by human")
    assert get_task(relay, task)["status"] == "open"
    detail.get_by_role("button", name="Claim", exact=True).click()
    expect(newest).to_contain_text(f"claimed by {bob}")
    moves = detail.get_by_role("group", name="Move to")
    for status, word in (("in_progress", "in progress"), ("blocked", "blocked"), ("in_progress", "in progress")):
        moves.get_by_role("button", name=word, exact=True).click()
        detail.get_by_label("Note").fill(f"Now {word}")
        detail.get_by_role("button", name=f"Move to {word}", exact=True).click()
        expect(newest).to_contain_text(re.compile(rf"to {word}.*human.*Now {word}", re.DOTALL))
        assert get_task(relay, task)["status"] == status
    detail.get_by_label("Progress, %").fill("60")
    detail.get_by_role("button", name="Note progress").click()
    expect(newest).to_contain_text("60 %")
    moves.get_by_role("button", name="done", exact=True).click()
    detail.get_by_label("Result").fill('{"freed": "20 GB"}')
    detail.get_by_role("button", name="Move to done", exact=True).click()
    expect(newest).to_contain_text("to done")
    closed = get_task(relay, task)
    assert (closed["status"], closed["result"]) == ("done", {"freed": "20 GB"})
    expect(detail.locator(".history li")).to_have_count(len(history(relay, task)))
    assert [moment["by"] for moment in history(relay, task)][-1] == "human"


def test_a_fought_over_task_shows_who_lost(page: Page, relay: Relay) -> None:
    tag = unique("ops")
    ann, bob = make_agent(relay, id=unique("ann"), tags=[tag]), make_agent(relay, id=unique("bob"), tags=[tag])
    task = make_task(relay, target=f"tag:{tag}")["id"]
    shown(page, relay, f"/tasks/{task}")
    detail = page.get_by_role("complementary", name=f"Task {task}")
    expect(detail).to_contain_text("Nobody has tried to claim it")
    answer(relay.post(f"/tasks/{task}/claim", {"agentId": ann}))
    assert relay.post(f"/tasks/{task}/claim", {"agentId": bob}).status_code == 409
    tries = detail.locator(".tries li")
    expect(detail).to_contain_text("fought over")
    expect(tries.filter(has_text=f"{ann} won")).to_contain_text("and holds it")
    expect(tries.filter(has_text=f"{bob} lost")).to_contain_text(f"{ann} had it")


def test_a_claim_of_a_task_that_came_too_late_is_said(make_page: MakePage, make_relay: MakeRelay) -> None:
    """The page is told nothing of the other claim meanwhile: its line is held up, as on a slow network."""
    relay = make_relay(**configured(make_integration()))
    tag = unique("ops")
    ann, bob = make_agent(relay, id="ann", tags=[tag]), make_agent(relay, id="bob", tags=[tag])
    task = make_task(relay, target=f"tag:{tag}")["id"]
    page = make_page(allow=ERROR_ANSWER)
    silent: Any = page.route_web_socket
    silent(re.compile("/api/ws"), lambda line: line.connect_to_server().on_message(lambda said: _greeting(line, said)))
    shown(page, relay, f"/tasks/{task}")
    detail = page.get_by_role("complementary", name=f"Task {task}")
    detail.get_by_label("Claim for").select_option(bob)
    answer(relay.post(f"/tasks/{task}/claim", {"agentId": ann}))
    detail.get_by_role("button", name="Claim", exact=True).click()
    said = toast(page, f"Could not claim task {task}")
    expect(said).to_contain_text(ann)
    expect(said.locator("code")).to_contain_text("claim-conflict · request ")


def _greeting(line: Any, said: Any) -> None:
    """Hand on the answer to hello, and nothing else."""
    if '"ref":1' in said.replace(" ", ""):
        line.send(said)


# -- integrations and the rest -----------------------------------------------------------------------------------------


def test_a_callback_is_redelivered_once_its_receiver_is_mended(
    page: Page, relay: Relay, switch: Switch, receiver: Receiver
) -> None:
    switch.broken = True
    task = make_task(relay, source="told")["id"]
    wait_until(lambda: [one for one in deliveries(relay, task=task) if one["attempts"]], "it was tried")
    callback = deliveries(relay, task=task)[0]["id"]
    shown(page, relay, f"/integrations?callback={callback}")
    drawer = page.get_by_role("complementary", name=f"Callback {callback}")
    expect(drawer.locator(".facts")).to_contain_text("pending")
    expect(drawer).to_contain_text("out of order")
    switch.broken = False
    drawer.get_by_role("button", name="Redeliver").click()
    expect(toast(page, f"Callback {callback} is being tried again")).to_be_visible()
    expect(drawer.locator(".facts")).to_contain_text("delivered")
    assert deliveries(relay, task=task)[0]["state"] == "delivered"
    assert receiver.of_task(task)


def test_a_test_event_makes_a_real_task(page: Page, relay: Relay) -> None:
    shown(page, relay, "/integrations/ops")
    page.get_by_role("button", name="Send a test event").click()
    dialog = page.get_by_role("dialog", name="Test ops")
    dialog.get_by_label("Channel").fill("alerts")
    dialog.get_by_role("button", name="Send the test event").click()
    expect(dialog).to_have_count(0)
    made = page.locator(".test-made a")
    expect(made).to_have_text(re.compile(r"task \d+"))
    href = str(made.get_attribute("href"))
    task = get_task(relay, int(href.rpartition("/")[2]))
    assert (task["source"], task["type"], task["target"], task["channel"]) == ("ops", "test", "human", "alerts")
    made.click()
    expect(page.get_by_role("complementary", name=f"Task {task['id']}")).to_be_visible()
