"""What a person does from the dashboard: each action is seen in the page, and at the API."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import MakePage, shown, toast
from tests.conftest import MakeRelay
from tests.factories import (
    Json,
    Relay,
    answer,
    card,
    claim,
    inbox_ids,
    make_agent,
    make_message,
    make_work,
    read,
    unique,
    wait_until,
)

#: What the browser itself says of an answer that is an error.
ERROR_ANSWER = "Failed to load resource"


@pytest.fixture(scope="module")
def relay(make_module_relay: MakeRelay) -> Relay:
    """Shared by the tests of this file, each of which takes names of its own."""
    return make_module_relay()


def newest_from_human(relay: Relay) -> Json:
    found: Json = answer(relay.get("/messages", params={"from": "human", "limit": 1}))["messages"][0]
    return found


def letter(page: Page, message_id: int) -> Locator:
    return page.locator(f'[data-message="{message_id}"]')


def thread_of(page: Page, relay: Relay, message_id: int) -> Locator:
    shown(page, relay, f"/threads/{message_id}")
    found = letter(page, message_id)
    expect(found).to_be_visible()
    return found


def gone(relay: Relay, path: str) -> Callable[[], bool]:
    return lambda: relay.get(path).status_code == 404


def write(page: Page, *, to: str, body: str) -> Locator:
    """The composer over the page, filled in."""
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog", name="Message", exact=True)
    dialog.get_by_label("To", exact=True).fill(to)
    dialog.get_by_label("Message", exact=True).fill(body)
    return dialog


# -- messages ----------------------------------------------------------------------------------------------------------


def test_a_message_is_written_to_a_completed_target_and_sent_with_ctrl_enter(page: Page, relay: Relay) -> None:
    bob = make_agent(relay, id=unique("bob"), tags=[unique("ops")])
    tag = card(relay, bob)["tags"][0]
    shown(page, relay)
    dialog = write(page, to=f"tag:{tag}", body="Who has time?")
    expect(dialog.get_by_label("Message", exact=True)).to_be_focused()
    targets = dialog.locator("datalist option").evaluate_all("options => options.map(option => option.value)")
    assert {bob, f"tag:{tag}", "broadcast"} <= set(targets)
    dialog.get_by_label("Subject").fill("A question")
    dialog.get_by_label("Claimable").check()
    dialog.get_by_label("Priority").select_option("high")
    dialog.get_by_label("Message", exact=True).press("Control+Enter")
    expect(dialog).to_have_count(0)
    expect(toast(page, "Sent to 1 recipient")).to_be_visible()
    expect(page.locator(".feed-line").filter(has_text=tag)).to_contain_text("A question")
    sent = newest_from_human(relay)
    wanted = {
        "to": f"tag:{tag}", "subject": "A question", "body": "Who has time?", "claimable": True, "priority": "high",
    }  # fmt: skip
    assert {name: sent[name] for name in wanted} == wanted
    assert sent["id"] in inbox_ids(relay, bob)


def test_a_message_to_nobody_yet_is_said_to_be_kept(page: Page, relay: Relay) -> None:
    name = unique("later")
    shown(page, relay, "/threads")
    dialog = write(page, to=name, body="When you come")
    dialog.get_by_role("button", name="Send as human").click()
    expect(toast(page, "Kept until that agent appears")).to_be_visible()
    make_agent(relay, id=name)
    assert newest_from_human(relay)["id"] in inbox_ids(relay, name)


def test_what_the_relay_refuses_is_said_with_its_code_and_stays(make_page: MakePage, relay: Relay) -> None:
    page = shown(make_page(allow=ERROR_ANSWER), relay)
    dialog = write(page, to="no such target", body="Is kept in the dialog")
    with page.expect_response("**/api/messages") as refused:
        dialog.get_by_role("button", name="Send as human").click()
    said = toast(page, "Could not send")
    request_id = refused.value.headers["x-request-id"]
    expect(said.locator("code")).to_have_text(f"{refused.value.json()['code']} · request {request_id}")
    expect(dialog.get_by_label("Message", exact=True)).to_have_value("Is kept in the dialog")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(said).to_be_visible()
    expect(said.get_by_role("button", name="Undo")).to_have_count(0)
    said.get_by_role("button", name="Dismiss").click()
    expect(said).to_have_count(0)


def test_a_reply_goes_to_whoever_wrote_and_joins_the_thread(page: Page, relay: Relay) -> None:
    ann = make_agent(relay, id=unique("ann"))
    asked = make_message(relay, from_=ann, to="human", subject="May I?")
    thread_of(page, relay, asked["id"])
    field = page.get_by_role("textbox", name=f"Reply to {ann}")
    field.fill("Yes, do.")
    field.press("Control+Enter")
    expect(page.locator(".letter.is-own")).to_contain_text("Yes, do.")
    expect(field).to_have_value("")
    sent = newest_from_human(relay)
    assert (sent["to"], sent["replyTo"], sent["threadId"]) == (ann, asked["id"], asked["id"])
    expect(letter(page, sent["id"]).locator(".receipts")).to_contain_text(ann)


def test_receipts_follow_what_becomes_of_a_message(page: Page, relay: Relay) -> None:
    bob = make_agent(relay, id=unique("bob"))
    sent = make_message(relay, to=bob)
    receipts = thread_of(page, relay, sent["id"]).locator(".receipts li")
    expect(receipts).to_contain_text(re.compile(f"{bob} (queued|offered)"))
    read(relay, sent["id"], bob)
    expect(receipts).to_contain_text(f"{bob} read")


def test_looking_at_a_thread_marks_what_was_for_human_as_read(page: Page, relay: Relay) -> None:
    ann = make_agent(relay, id=unique("ann"))
    asked = make_message(relay, from_=ann, to="human")
    thread_of(page, relay, asked["id"])
    wait_until(
        lambda: answer(relay.get(f"/messages/{asked['id']}/receipts"))["receipts"][0]["readAt"] is not None,
        "it is read",
    )


def test_work_is_claimed_for_an_agent_and_released_again(page: Page, relay: Relay) -> None:
    tag = unique("ops")
    bob = make_agent(relay, id=unique("bob"), tags=[tag])
    make_agent(relay, id=unique("else"))
    work = make_work(relay, to=f"tag:{tag}")
    found = thread_of(page, relay, work)
    found.get_by_role("button", name="Claim for…").click()
    dialog = page.get_by_role("dialog", name=f"Claim message {work} for an agent")
    expect(dialog.locator("option")).to_have_count(1)
    dialog.get_by_role("button", name="Claim", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(found.locator(".claim")).to_contain_text(f"claimed by {bob}")
    assert answer(relay.get(f"/messages/{work}"))["claimedBy"] == bob
    found.get_by_role("button", name="Release").click()
    expect(found.locator(".claim")).to_contain_text("nobody holds it")
    expect(toast(page, "Released")).to_be_visible()
    assert answer(relay.get(f"/messages/{work}"))["claimedBy"] is None


def test_a_claim_that_came_too_late_is_said(make_page: MakePage, relay: Relay) -> None:
    tag = unique("ops")
    ann, bob = make_agent(relay, id=unique("ann"), tags=[tag]), make_agent(relay, id=unique("bob"), tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    page = make_page(allow=ERROR_ANSWER)
    thread_of(page, relay, work).get_by_role("button", name="Claim for…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Agent").select_option(bob)
    claim(relay, work, ann)
    dialog.get_by_role("button", name="Claim", exact=True).click()
    said = toast(page, "Could not claim")
    expect(said).to_contain_text(ann)
    expect(said.locator("code")).to_contain_text("claim-conflict · request ")
    assert answer(relay.get(f"/messages/{work}"))["claimedBy"] == ann


# -- deleting, which can be undone -------------------------------------------------------------------------------------


def test_a_message_is_deleted_once_it_can_no_more_be_undone(page: Page, relay: Relay) -> None:
    """The clock of the page is moved on, not waited for."""
    page.clock.install()
    sent = make_message(relay, to=make_agent(relay, id=unique("bob")))
    found = thread_of(page, relay, sent["id"])
    found.get_by_role("button", name=f"Delete message {sent['id']}").click()
    expect(found).to_have_count(0)
    assert relay.get(f"/messages/{sent['id']}").status_code == 200, "not yet"
    page.clock.run_for(7_000)
    wait_until(gone(relay, f"/messages/{sent['id']}"), "it is deleted")
    expect(toast(page, "deleted")).to_have_count(0)


def test_undo_keeps_a_message(page: Page, relay: Relay) -> None:
    page.clock.install()
    sent = make_message(relay, to=make_agent(relay, id=unique("bob")))
    found = thread_of(page, relay, sent["id"])
    found.get_by_role("button", name=f"Delete message {sent['id']}").click()
    expect(found).to_have_count(0)
    toast(page, f"Message {sent['id']} deleted").get_by_role("button", name="Undo").click()
    expect(found).to_be_visible()
    page.clock.run_for(10_000)
    assert relay.get(f"/messages/{sent['id']}").status_code == 200


def test_closing_the_page_deletes_what_was_not_undone(page: Page, relay: Relay) -> None:
    sent = make_message(relay, to=make_agent(relay, id=unique("bob")))
    found = thread_of(page, relay, sent["id"])
    found.get_by_role("button", name=f"Delete message {sent['id']}").click()
    expect(found).to_have_count(0)
    page.close(run_before_unload=False)
    wait_until(gone(relay, f"/messages/{sent['id']}"), "it is deleted")


def test_an_agent_is_removed_unless_that_is_undone(page: Page, relay: Relay) -> None:
    page.clock.install()
    bob = make_agent(relay, id=unique("bob"))
    shown(page, relay, f"/agents/{bob}")
    in_list = page.locator(f'main [data-agent="{bob}"]')
    remove = page.get_by_role("button", name="Remove agent")
    remove.click()
    expect(in_list).to_have_count(0)
    toast(page, f"Agent {bob} removed").get_by_role("button", name="Undo").click()
    expect(in_list).to_be_visible()
    page.clock.run_for(10_000)
    assert relay.get(f"/agents/{bob}").status_code == 200
    in_list.click()
    remove.click()
    expect(in_list).to_have_count(0)
    page.clock.run_for(7_000)
    wait_until(gone(relay, f"/agents/{bob}"), "it is removed")
    expect(in_list).to_have_count(0)


# -- agents ------------------------------------------------------------------------------------------------------------


def test_an_agent_is_given_a_label_and_loses_it_again(page: Page, relay: Relay) -> None:
    bob, label = make_agent(relay, id=unique("bob")), unique("Night shift")
    shown(page, relay, f"/agents?q={bob}")
    on_card = page.get_by_role("article", name=bob)
    on_card.get_by_role("button", name="Add a label").click()
    field = on_card.get_by_label("New label")
    expect(field).to_be_focused()
    field.fill(label)
    field.press("Enter")
    expect(on_card.get_by_role("button", name=f"Remove the label {label}")).to_be_visible()
    assert card(relay, bob)["labels"] == [label]
    field.press("Escape")
    expect(on_card.locator(".chip").filter(has_text=label)).to_be_visible()
    on_card.get_by_role("button", name=f"Edit the labels of {bob}").click()
    on_card.get_by_role("button", name=f"Remove the label {label}").click()
    expect(on_card.get_by_role("button", name=f"Remove the label {label}")).to_have_count(0)
    assert card(relay, bob)["labels"] == []


# -- the system -------------------------------------------------------------------------------------------------------


def test_a_backup_is_the_whole_database(page: Page, relay: Relay) -> None:
    sent = make_message(relay, to=make_agent(relay, id=unique("bob")), body=unique("in the backup"))
    shown(page, relay, "/system")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download a backup").click()
    file = coming.value
    assert re.fullmatch(r"[\w.-]+\.db", file.suggested_filename)
    with closing(sqlite3.connect(file.path())) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = database.execute("SELECT body FROM messages WHERE id = ?", (sent["id"],)).fetchall()
    assert found == [(sent["body"],)]
    expect(toast(page, "Backup of")).to_be_visible()


def test_signing_out_where_there_is_no_token_is_not_offered(page: Page, relay: Relay) -> None:
    """Where there is one: test_dashboard_access.py."""
    shown(page, relay, "/system")
    expect(page.get_by_role("region", name="This browser")).to_contain_text("No token is kept here")
    expect(page.get_by_role("button", name="Sign out of this browser")).to_have_count(0)
