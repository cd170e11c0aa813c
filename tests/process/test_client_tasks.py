"""The client's calls about tasks, events and callbacks, against a real relay and against peers that behave badly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app import errors
from app.client import RelayClient, RelayUnreachable
from app.model import ACTIVE, DeliveryState, EventStatus, IntegrationEvent, Severity, TaskStatus
from tests.conftest import MakeRelay
from tests.factories import Json, Relay, make_agent, unique, wait_until
from tests.integrations import configured, make_integration, make_task, receiving, resolve
from tests.process.test_client import BUSY, Peer, answers, drops


@pytest.fixture(scope="module")
def bus(make_module_relay: MakeRelay) -> Relay:
    """A relay with some integrations: ``ops`` may do everything."""
    return make_module_relay(
        **configured(
            make_integration(),
            make_integration("ci", scopes=["tasks:create"], targets=["tag:ci"], channels=["builds"]),
        )
    )


@pytest.fixture(params=[False, True], ids=["requests", "one-shot"])
def client(bus: Relay, request: pytest.FixtureRequest) -> Iterator[RelayClient]:
    with RelayClient(bus.url, one_shot=request.param) as client:
        yield client


@pytest.fixture
def as_ops(bus: Relay) -> Iterator[RelayClient]:
    """A client with an integration's token."""
    with RelayClient(bus.url, token="ops-token") as client:
        yield client


def event(**fields: Any) -> IntegrationEvent:
    target = fields.pop("target", f"tag:{unique()}")
    given = {"type": "check", "severity": Severity.WARNING, "title": "It does not answer", "channel": "alerts"}
    return IntegrationEvent(**(given | {"target": target} | fields))


def test_a_task_from_its_event_to_its_end(client: RelayClient, as_ops: RelayClient, bus: Relay) -> None:
    tag, key = unique("tag"), unique("key")
    bob = make_agent(bus, tags=[tag])
    other = make_agent(bus, tags=[tag])
    made = as_ops.send_event(event(target=f"tag:{tag}", dedupe_key=key, metadata={"host": "web1"}))
    assert made.task is not None
    assert (made.created, made.deduped, made.task.status) == (True, False, TaskStatus.OPEN)
    task_id = made.task.id
    again = as_ops.send_event(event(target=f"tag:{tag}", dedupe_key=key, severity=Severity.CRITICAL))
    assert again.task is not None
    assert (again.created, again.deduped, again.task.occurrence_count) == (False, True, 2)
    assert client.claim_task(task_id, agent_id=bob).claimed_by == bob
    assert client.claim_task(task_id, agent_id=bob).status is TaskStatus.CLAIMED
    with pytest.raises(errors.ClaimConflict) as conflict:
        client.claim_task(task_id, agent_id=other)
    assert conflict.value.extras["claimedBy"] == bob
    moved = client.set_task_status(task_id, status=TaskStatus.IN_PROGRESS, agent_id=bob, progress=40, note="looking")
    assert (moved.status, moved.progress) == (TaskStatus.IN_PROGRESS, 40)
    assert client.release_task(task_id, agent_id=bob).status is TaskStatus.OPEN
    with pytest.raises(errors.NotClaimant):
        client.release_task(task_id, agent_id=bob)
    client.claim_task(task_id, agent_id=bob)
    done = client.set_task_status(task_id, status=TaskStatus.DONE, agent_id=bob, result={"freed": [12, None]})
    assert (done.result, done.closed_at is not None) == ({"freed": [12, None]}, True)
    assert client.get_task(task_id) == done
    history = list(client.task_history(task_id))
    assert [each.event for each in history] == [
        "task.created", "task.updated", "task.claimed", "task.status", "task.status", "task.claimed", "task.status",
    ]  # fmt: skip
    assert [each.by for each in history] == ["ops", "ops", bob, bob, bob, bob, bob]
    assert history[3].note == "looking"
    assert as_ops.send_event(IntegrationEvent(status=EventStatus.RESOLVED, dedupe_key=key)).task is None


def test_null_is_a_result_and_no_result_is_none(client: RelayClient, bus: Relay) -> None:
    bob = make_agent(bus)
    task_id = make_task(bus, target=bob)["id"]
    client.claim_task(task_id, agent_id=bob)
    moved = client.set_task_status(task_id, status=TaskStatus.IN_PROGRESS, agent_id=bob, result="half of it")
    assert moved.result == "half of it"
    assert client.set_task_status(task_id, status=TaskStatus.IN_PROGRESS, agent_id=bob).result == "half of it"
    assert client.set_task_status(task_id, status=TaskStatus.DONE, result=None).result is None


def test_tasks_are_chosen_and_come_page_by_page(client: RelayClient, bus: Relay) -> None:
    target, word = f"tag:{unique('t')}", unique("word")
    keys = [unique("key") for _ in range(5)]
    made = [make_task(bus, target=target, dedupeKey=key, title=f"disk {word}")["id"] for key in keys]
    make_task(bus, target=target, severity="critical", source="ops", title="other")
    resolve(bus, keys[0])
    first = client.list_tasks(target=target, q=word, limit=3)
    assert [task.id for task in first.tasks] == made[:1:-1]
    assert isinstance(first.next, int)
    rest = client.list_tasks(target=target, q=word, limit=3, before=first.next)
    assert [task.id for task in rest.tasks] == made[1::-1]
    assert not isinstance(rest.next, int)
    assert len(client.list_tasks(target=target, status=ACTIVE).tasks) == 5
    assert [task.id for task in client.list_tasks(target=target, status=TaskStatus.DONE).tasks] == made[:1]
    assert [task.title for task in client.list_tasks(target=target, severity=Severity.CRITICAL).tasks] == ["other"]
    assert client.list_tasks(target=target, source=unique("nobody")).tasks == []
    bob = make_agent(bus, tags=[target.removeprefix("tag:")])
    client.claim_task(made[3], agent_id=bob)
    assert [task.id for task in client.list_tasks(claimed_by=bob).tasks] == [made[3]]


def test_a_long_history_comes_whole(client: RelayClient, bus: Relay) -> None:
    bob = make_agent(bus)
    task_id = make_task(bus, target=bob)["id"]
    client.claim_task(task_id, agent_id=bob)
    for number in range(510):
        client.set_task_status(task_id, status=TaskStatus.CLAIMED, agent_id=bob, note=str(number))
    notes = [each.note for each in client.task_history(task_id)]
    assert notes == [None, None, *map(str, range(510))]


def test_each_refusal_is_its_own_error(client: RelayClient, as_ops: RelayClient, bus: Relay) -> None:
    bob = make_agent(bus)
    task_id = make_task(bus, target=bob)["id"]
    with pytest.raises(errors.NotARecipient):
        client.claim_task(task_id, agent_id=make_agent(bus))
    with pytest.raises(errors.StatusConflict) as conflict:
        client.set_task_status(task_id, status=TaskStatus.DONE)
    assert conflict.value.extras["taskStatus"] == "open"
    assert conflict.value.extras["allowed"] == ["cancelled"]
    with pytest.raises(errors.NotClaimant):
        client.set_task_status(task_id, status=TaskStatus.DONE, agent_id=bob)
    client.set_task_status(task_id, status=TaskStatus.CANCELLED)
    with pytest.raises(errors.MessageClosed):
        client.claim_task(task_id, agent_id=bob)
    with pytest.raises(errors.StatusConflict):
        client.release_task(task_id, agent_id=bob)
    calls: list[Callable[[int], object]] = [
        client.get_task,
        lambda missing: list(client.task_history(missing)),
        lambda missing: client.claim_task(missing, agent_id=bob),
        lambda missing: client.release_task(missing, agent_id=bob),
        lambda missing: client.set_task_status(missing, status=TaskStatus.DONE),
    ]
    for call in calls:
        with pytest.raises(errors.TaskNotFound):
            call(10**12)
    with pytest.raises(errors.DeliveryNotFound):
        client.redeliver(10**12)
    with pytest.raises(errors.Unauthorized):
        client.send_event(event())
    with RelayClient(bus.url, token="ci-token", retries=0) as ci, pytest.raises(errors.OutOfScope) as scope:
        ci.send_event(event(target="tag:other"))
    assert scope.value.extras["allowed"] == ["tag:ci"]
    with pytest.raises(errors.Invalid) as invalid:
        as_ops.send_event(IntegrationEvent(title="x"))
    assert {error["field"] for error in invalid.value.errors} == {"type", "severity"}


def test_the_shared_token_is_no_integrations(make_relay: MakeRelay) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN="shared", **configured(make_integration()))
    with RelayClient(relay.url, token="shared") as client, pytest.raises(errors.IntegrationTokenRequired):
        client.send_event(event())


def test_a_limit_says_when_to_try_again(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration()) | {"AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE": 1})
    with RelayClient(relay.url, token="ops-token", retries=0) as client:
        client.send_event(event())
        with pytest.raises(errors.RateLimited) as limited:
            client.send_event(event())
    assert 1 <= int(limited.value.headers["Retry-After"]) <= 60


def test_callbacks_are_seen_and_sent_again(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        task_id = make_task(relay)["id"]
        with RelayClient(relay.url) as client:
            client.set_task_status(task_id, status=TaskStatus.CANCELLED)

            def delivered() -> bool:
                found = client.callbacks(state=DeliveryState.DELIVERED, integration="ops", task_id=task_id).callbacks
                return len(found) == 2

            wait_until(delivered, "both are delivered")
            page = client.callbacks(task_id=task_id, limit=1)
            assert [each.event for each in page.callbacks] == ["task.status"]
            assert isinstance(page.next, int)
            (created,) = client.callbacks(task_id=task_id, before=page.next).callbacks
            assert [attempt.status for attempt in created.attempts] == [204]
            assert client.redeliver(created.id).state is DeliveryState.PENDING
            again = receiver.wait_for(3)
            assert again[2].webhook_id == created.webhook_id


# -- after a lost connection -------------------------------------------------------------------------------------------

TASK: Json = {
    "id": 1, "source": "ops", "type": "t", "severity": "info", "dedupeKey": None, "title": "x", "body": None,
    "target": "bob", "channel": "c", "externalUrl": None, "metadata": {}, "status": "open", "result": None,
    "progress": None, "claimedBy": None, "messageId": 1, "occurrenceCount": 1, "newKey": True,
    **dict.fromkeys(("firstSeenAt", "lastSeenAt", "createdAt", "updatedAt"), "2026-01-01T00:00:00.000Z"),
    "closedAt": None,
}  # fmt: skip
GOOD = answers(200, json.dumps(TASK).encode())
TAKEN = answers(201, json.dumps({"created": True, "deduped": False, "task": TASK}).encode())


def test_what_may_be_said_twice_is_said_again() -> None:
    with Peer(drops, BUSY, TAKEN) as peer, RelayClient(peer.url, one_shot=True) as client:
        assert client.send_event(event(dedupe_key="k")).created
        assert len(peer.requests) == 3
    with Peer(drops, GOOD) as peer, RelayClient(peer.url, one_shot=True) as client:
        assert client.claim_task(1, agent_id="bob").id == 1
    with Peer(drops, GOOD) as peer, RelayClient(peer.url, one_shot=True) as client:
        assert client.set_task_status(1, status=TaskStatus.DONE).id == 1
        assert len(peer.requests) == 2


def test_what_might_do_harm_twice_is_not() -> None:
    with Peer(drops) as peer, RelayClient(peer.url, one_shot=True) as client:
        with pytest.raises(RelayUnreachable):
            client.release_task(1, agent_id="bob")
        with pytest.raises(RelayUnreachable):
            client.send_event(event())
        assert len(peer.requests) == 2


def test_only_what_is_given_is_sent() -> None:
    with Peer(GOOD) as peer, RelayClient(peer.url, one_shot=True) as client:
        client.set_task_status(7, status=TaskStatus.DONE, result=None)
        client.set_task_status(7, status=TaskStatus.IN_PROGRESS, agent_id="bob", progress=0, note="n")
        bodies = [json.loads(request.partition("\n\n")[2]) for request in peer.requests]
        assert bodies == [
            {"status": "done", "result": None},
            {"status": "in_progress", "agentId": "bob", "progress": 0, "note": "n"},
        ]
        assert peer.requests[0].startswith("PATCH /api/tasks/7/status ")
