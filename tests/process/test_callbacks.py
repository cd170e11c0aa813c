"""Callbacks: told at least once, in order for each task, whatever the receiver does and whenever the relay dies."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from datetime import datetime
from itertools import pairwise

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.conftest import MakeRelay
from tests.factories import Relay, answer, make_agent, problem, wait_until
from tests.integrations import (
    OK,
    SECRET,
    Call,
    Receiver,
    Reply,
    configured,
    deliveries,
    get_task,
    make_integration,
    make_task,
    move,
    receiving,
)

DELIVERED = {"state": "delivered"}


def told(relay: Relay, receiver: Receiver) -> list[Call]:
    """Every callback, once none is pending."""
    wait_until(lambda: not deliveries(relay, state="pending"), "all callbacks are delivered")
    return receiver.calls


def walk(relay: Relay, **fields: object) -> int:
    """A task from its creation to its end, by an agent."""
    agent = make_agent(relay, tags=["crew"])
    task_id = int(make_task(relay, target="tag:crew", **fields)["id"])
    answer(relay.post(f"/tasks/{task_id}/claim", {"agentId": agent}))
    move(relay, task_id, "in_progress", agentId=agent, progress=50)
    move(relay, task_id, "in_progress", agentId=agent, progress=90)
    move(relay, task_id, "done", agentId=agent, result="fine")
    return task_id


def test_each_change_is_told_in_order_as_the_task_then_stood_and_signed(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url, callbackSecret=SECRET)))
        task_id = walk(relay)
        calls = told(relay, receiver)
        assert [(c.event, c.task["status"]) for c in calls] == [
            ("task.created", "open"),
            ("task.claimed", "claimed"),
            ("task.status", "in_progress"),
            ("task.status", "done"),
        ]
        assert [c.task["progress"] for c in calls] == [None, None, 50, 90]
        assert calls[-1].task == get_task(relay, task_id)
        for call in calls:
            assert set(json.loads(call.body)) == {"event", "task"}
            assert call.headers["content-type"] == "application/json"
            assert Webhook(SECRET).verify(call.body, call.headers)["task"]["id"] == task_id
            with pytest.raises(WebhookVerificationError):
                Webhook(SECRET).verify(call.body + b" ", call.headers)
            with pytest.raises(WebhookVerificationError):
                Webhook("whsec_b3RoZXIgc2VjcmV0").verify(call.body, call.headers)
        assert len({call.webhook_id for call in calls}) == 4
        found = deliveries(relay, task=task_id)
        assert [d["webhookId"] for d in found] == [call.webhook_id for call in calls]
        assert [(d["state"], len(d["attempts"]), d["attempts"][0]["status"]) for d in found] == [
            ("delivered", 1, 204)
        ] * 4


def test_an_integration_without_an_address_is_told_nothing_and_one_without_a_secret_unsigned(
    make_relay: MakeRelay,
) -> None:
    with receiving() as receiver:
        relay = make_relay(**configured(make_integration(), make_integration("plain", callbackUrl=receiver.url)))
        make_task(relay)
        make_task(relay, source="plain")
        (call,) = told(relay, receiver)
        assert call.task["source"] == "plain"
        assert "webhook-signature" not in call.headers
        assert call.webhook_id.startswith("msg_")
        assert [d["integration"] for d in deliveries(relay)] == ["plain"]


def test_a_receiver_that_fails_hangs_and_recovers_gets_it_once_and_every_attempt_is_visible(
    make_relay: MakeRelay,
) -> None:
    """500 three times, then silence past the time-out, then 200: half a minute, for the pauses are real."""

    def reply(_call: Call) -> Reply:
        count = len(receiver.calls)
        if count <= 3:
            return 500, b"no" * 4_000, {}
        if count == 4:
            receiver.over.wait(20)
        return 200, b"at last", {}

    with receiving(reply) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url, callbackSecret=SECRET)))
        task_id = make_task(relay)["id"]
        wait_until(lambda: deliveries(relay, **DELIVERED), "it is delivered", timeout_s=60)
        (delivery,) = deliveries(relay, task=task_id)
        attempts = delivery["attempts"]
        assert [a["number"] for a in attempts] == [1, 2, 3, 4, 5]
        assert [a["status"] for a in attempts] == [500, 500, 500, None, 200]
        assert [a["error"] is None for a in attempts] == [False] * 4 + [True]
        assert "did not answer within 10 s" in attempts[3]["error"]
        assert attempts[3]["durationMs"] >= 9_900
        assert attempts[0]["response"] == "no" * 1_024
        assert attempts[4]["response"] == "at last"
        assert {call.webhook_id for call in receiver.calls} == {delivery["webhookId"]}
        at = [datetime.fromisoformat(a["at"]) for a in attempts]
        pauses = [(b - a).total_seconds() for a, b in pairwise(at)]
        for pause, wanted in zip(pauses, (1, 2, 4, 8 + 10), strict=True):
            assert 0.75 * wanted <= pause <= 1.25 * wanted + 1.5, pauses
        for call in receiver.calls:
            assert Webhook(SECRET).verify(call.body, call.headers)
        assert delivery["deliveredAt"] is not None
        assert delivery["nextAttemptAt"] is None


def test_a_relay_that_is_killed_on_the_way_delivers_after_its_restart_under_the_same_id(make_relay: MakeRelay) -> None:
    def reply(_call: Call) -> Reply:
        if len(receiver.calls) == 1:
            receiver.over.wait(20)
            raise ConnectionError
        return OK

    with receiving(reply) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url, callbackSecret=SECRET)))
        task_id = walk(relay)
        receiver.wait_for(1)
        relay.kill()
        relay.start()
        calls = told(relay, receiver)
        assert [c.event for c in calls] == [
            "task.created",
            "task.created",
            "task.claimed",
            "task.status",
            "task.status",
        ]
        assert calls[0].webhook_id == calls[1].webhook_id
        assert [d["state"] for d in deliveries(relay, task=task_id)] == ["delivered"] * 4


def test_what_was_acknowledged_is_told_although_the_relay_is_killed_again_and_again(make_relay: MakeRelay) -> None:
    with receiving(lambda _call: (503, b"", {}) if len(receiver.calls) % 6 == 0 else OK) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        made: list[int] = []
        for _ in range(3):
            made += [make_task(relay)["id"] for _ in range(15)]
            receiver.wait_for(len(made) // 2)
            relay.kill()
            relay.start()
        wait_until(lambda: not deliveries(relay, state="pending"), "all are delivered")
        assert {call.task["id"] for call in receiver.calls} == set(made)
        ids = {d["taskId"]: d["webhookId"] for d in deliveries(relay)}
        assert all(call.webhook_id == ids[call.task["id"]] for call in receiver.calls)


def test_a_task_whose_callback_fails_holds_up_its_own_and_no_others(make_relay: MakeRelay) -> None:
    broken: list[int] = []

    def reply(call: Call) -> Reply:
        return (500, b"", {}) if call.task["id"] in broken and not receiver.over.is_set() else OK

    with receiving(reply) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        make_agent(relay, id="bob", tags=["crew"])
        stuck = make_task(relay, target="tag:crew")["id"]
        broken.append(stuck)
        answer(relay.post(f"/tasks/{stuck}/claim", {"agentId": "bob"}))
        free = walk(relay)
        wait_until(lambda: len(receiver.of_task(free)) == 4, "the other task is told")
        receiver.over.set()
        told(relay, receiver)
        assert [c.event for c in receiver.of_task(stuck)][-2:] == ["task.created", "task.claimed"]
        assert {c.event for c in receiver.of_task(stuck)[:-2]} <= {"task.created"}


def test_a_receiver_that_hangs_up_on_some_tasks_gets_the_others(make_relay: MakeRelay) -> None:
    poison: set[int] = set()

    def reply(call: Call) -> Reply:
        if call.task["title"] == "poison":
            raise ConnectionError
        return OK

    with receiving(reply) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        poison.update(make_task(relay, title="poison")["id"] for _ in range(8))
        good = {make_task(relay)["id"] for _ in range(8)}
        wait_until(
            lambda: {d["taskId"] for d in deliveries(relay, **DELIVERED)} == good, "the others are told", timeout_s=8
        )
        (attempt, *_) = deliveries(relay, task=min(poison))[0]["attempts"]
        assert "hung up" in attempt["error"]


def test_a_retry_does_not_wait_for_another_tasks_attempt(make_relay: MakeRelay) -> None:
    def reply(call: Call) -> Reply:
        if call.task["title"] == "hangs":
            receiver.over.wait(20)
        return (500, b"", {}) if len(receiver.of_task(call.task["id"])) == 1 else OK

    with receiving(reply) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        make_task(relay, title="hangs")
        receiver.wait_for(1)
        other = make_task(relay)["id"]
        wait_until(lambda: deliveries(relay, task=other, **DELIVERED), "it was tried again", timeout_s=6)


def test_what_a_receiver_repeats_of_secrets_is_not_kept_and_no_cookie_comes_back(make_relay: MakeRelay) -> None:
    def reply(call: Call) -> Reply:
        return 500, json.dumps(call.headers).encode(), {"Set-Cookie": "a=b"}

    with receiving(reply) as receiver:
        url = receiver.url.replace("http://", "http://user:url-password@") + "?key=query-secret"
        relay = make_relay(**configured(make_integration(callbackUrl=url)))
        make_task(relay)
        wait_until(lambda: len(deliveries(relay)[0]["attempts"]) >= 2, "it was tried twice")
        shown = json.dumps(deliveries(relay))
        basic = base64.b64encode(b"user:url-password").decode()
        assert receiver.calls[0].headers["authorization"] == f"Basic {basic}"
        assert basic not in shown
        assert "query-secret" not in relay.log + shown
        assert not any("cookie" in call.headers for call in receiver.calls)


def test_a_slow_receiver_delays_no_other_integration(make_relay: MakeRelay) -> None:
    with receiving(lambda _call: (receiver_over.wait(20) and OK) or OK) as slow, receiving() as quick:
        receiver_over = slow.over
        relay = make_relay(
            **configured(make_integration("slow", callbackUrl=slow.url), make_integration(callbackUrl=quick.url))
        )
        for _ in range(12):
            make_task(relay, source="slow")
        slow.wait_for(4)
        for _ in range(20):
            make_task(relay)
        wait_until(lambda: len(deliveries(relay, integration="ops", **DELIVERED)) == 20, "the other's are delivered")
        assert len(slow.calls) == 4, "it took as long as the slow receiver's time-out"
        assert len(deliveries(relay, integration="slow", state="pending")) == 12


def test_redirects_are_not_followed(make_relay: MakeRelay) -> None:
    with receiving() as other, receiving(lambda _call: (307, b"", {"Location": other.url})) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        make_task(relay)
        wait_until(lambda: deliveries(relay)[0]["attempts"], "it was tried")
        attempt = deliveries(relay)[0]["attempts"][0]
        assert attempt["status"] == 307
        assert "redirects are not followed" in attempt["error"]
        assert other.calls == []


def test_a_receiver_that_is_not_there_is_tried_until_it_is(make_relay: MakeRelay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    relay = make_relay(**configured(make_integration(callbackUrl=f"http://u:hidden-pw@127.0.0.1:{port}/x?key=hidden")))
    made = [make_task(relay)["id"] for _ in range(8)]
    wait_until(lambda: sum(len(d["attempts"]) for d in deliveries(relay)) >= 2, "it was tried")
    shown = json.dumps(deliveries(relay))
    assert "could not be reached" in shown
    assert "hidden" not in shown
    with receiving(port=port) as receiver:
        told(relay, receiver)
        assert sorted(call.task["id"] for call in receiver.calls) == made
    assert "hidden" not in relay.log


@pytest.mark.parametrize("then", ["silent", "trickling", "gone"])
def test_a_receiver_that_says_200_has_it_whatever_becomes_of_the_rest_of_its_answer(
    make_relay: MakeRelay, then: str
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nthank you"
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.recv(65536)
                sock.sendall(head)
                while then != "gone" and not over.wait(0.5):
                    sock.sendall(b"." if then == "trickling" else b"")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        relay = make_relay(**configured(make_integration(callbackUrl=url)))
        make_task(relay)
        wait_until(lambda: deliveries(relay)[0]["attempts"], "it was tried")
        over.set()
        thread.join(10)
    (delivery,) = deliveries(relay)
    (attempt,) = delivery["attempts"]
    assert (delivery["state"], attempt["status"], attempt["error"]) == ("delivered", 200, None)
    assert attempt["response"].startswith("thank you")
    assert attempt["durationMs"] < 21_000


@pytest.mark.parametrize("junk", [b"", b"not http\r\n\r\n", b"HTTP/1.1 999 \r\n\r\n"])
def test_a_receiver_that_speaks_nonsense_harms_nothing(make_relay: MakeRelay, junk: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.recv(65536)
                    sock.sendall(junk)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        relay = make_relay(**configured(make_integration(callbackUrl=f"http://127.0.0.1:{listener.getsockname()[1]}/")))
        make_task(relay)
        wait_until(lambda: deliveries(relay)[0]["attempts"], "it was tried")
        assert deliveries(relay)[0]["attempts"][0]["error"]
        assert answer(relay.get("/stats"))["callbacks"] == {"pending": 1, "dead": 0}
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_redelivering_tries_again_under_the_same_id(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        make_task(relay)
        told(relay, receiver)
        (before,) = deliveries(relay)
        again = answer(relay.post(f"/callbacks/{before['id']}/redeliver"))
        assert (again["id"], again["state"]) == (before["id"], "pending")
        told(relay, receiver)
        (after,) = deliveries(relay)
        assert [a["number"] for a in after["attempts"]] == [1, 2]
        assert {call.webhook_id for call in receiver.calls} == {after["webhookId"]}
        assert len(receiver.calls) == 2


def test_callbacks_are_listed_newest_first_and_filtered(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(
            **configured(make_integration(callbackUrl=receiver.url), make_integration("b", callbackUrl=receiver.url))
        )
        one = walk(relay)
        two = make_task(relay, source="b")["id"]
        told(relay, receiver)

        def found(**query: object) -> list[tuple[int, str]]:
            response = relay.get("/callbacks", params=query)
            return [(d["taskId"], d["event"]) for d in answer(response)["callbacks"]]

        assert found() == [(two, "task.created"), *[(one, e) for e in ("task.status", "task.status", "task.claimed")],
                           (one, "task.created")]  # fmt: skip
        assert found(integration="b") == [(two, "task.created")]
        assert len(found(task=one)) == 4
        assert found(state="dead") == found(integration="c") == []
        page = answer(relay.get("/callbacks?limit=2"))
        assert len(found(before=page["next"])) == 3
        for bad in ({"state": "lost"}, {"limit": 501}, {"task": 0}, {"taskId": 1}):
            problem(relay.get("/callbacks", params=bad), 422, "invalid", field=next(iter(bad)))


def test_every_attempt_is_told_live(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        with relay.open("/events") as stream:
            task_id = make_task(relay)["id"]
            event = stream.until(lambda event: event.name == "callback.attempt")[-1]
        assert event.data == deliveries(relay)[0]
        assert (event.data["taskId"], event.data["state"]) == (task_id, "delivered")


def test_secrets_are_neither_in_the_log_nor_in_the_database(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        url = receiver.url.replace("http://", "http://user:url-password@")
        entry = make_integration(token="very-secret-token", callbackUrl=url, callbackSecret=SECRET)
        relay = make_relay(**configured(entry))
        header = {"Authorization": "Bearer very-secret-token"}
        event = {"type": "t", "severity": "info", "title": "x", "target": "tag:x", "channel": "c"}
        answer(relay.post("/integrations/events", event, headers=header), 201)
        told(relay, receiver)
        assert relay.stop() == 0
    kept = relay.db.read_bytes() + relay.log.encode()
    for secret in ("very-secret-token", SECRET, SECRET.removeprefix("whsec_"), "url-password"):
        assert secret.encode() not in kept


def test_the_relay_stops_at_once_beside_a_receiver_that_hangs(make_relay: MakeRelay) -> None:
    with receiving(lambda _call: (receiver.over.wait(30) and OK) or OK) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        make_task(relay)
        receiver.wait_for(1)
        begun = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - begun < 3


def test_an_integration_that_is_gone_leaves_dead_letters_that_say_why(make_relay: MakeRelay) -> None:
    with receiving(lambda _call: (500, b"", {})) as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url), make_integration("b")))
        make_task(relay, dedupeKey="k")
        receiver.wait_for(1)
        assert relay.stop() == 0
    relay.settings |= {name: str(value) for name, value in configured(make_integration("b")).items()}
    relay.start()
    wait_until(lambda: deliveries(relay, state="dead"), "it is given up")
    assert "no integration ops with a callbackUrl" in deliveries(relay)[0]["attempts"][-1]["error"]
    assert answer(relay.get("/stats"))["callbacks"] == {"pending": 0, "dead": 1}
