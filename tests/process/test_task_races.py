"""Many want the same work, and many tell of the same thing."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from tests.conftest import MakeRelay
from tests.factories import Relay, answer, in_threads, make_agent
from tests.integrations import bearer, configured, get_task, history, make_event, make_integration, make_task, resolve
from tests.process._relay import Connection

CLIENTS = 32
TASKS = 100


def test_message_claims_and_task_claims_race_and_one_claimant_gets_each(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration()))
    agents = [make_agent(relay, id=f"racer-{n}", tags=["race"]) for n in range(CLIENTS)]
    ids = [make_task(relay, target="tag:race")["id"] for _ in range(TASKS)]
    start = threading.Barrier(CLIENTS)

    def race(n: int) -> list[tuple[int, int, str | None]]:
        """Every client wants every task, half of them through its message; four begin at the same place."""
        connection = Connection(relay.port, timeout_s=60)
        noun = "messages" if n % 2 else "tasks"
        begin = n // 4 * (TASKS // 8)
        found = []
        start.wait()
        for task_id in ids[begin:] + ids[:begin]:
            got = connection.http("POST", f"/api/{noun}/{task_id}/claim", {"agentId": agents[n]})
            found.append((task_id, got.status, got.json().get("claimedBy")))
        connection.close()
        return found

    found = in_threads(CLIENTS, race)
    granted: Counter[int] = Counter()
    for n, answers in enumerate(found):
        for task_id, status, holder in answers:
            assert status in {200, 409}
            assert (holder == agents[n]) == (status == 200)
            granted[task_id] += status == 200
    assert granted == dict.fromkeys(ids, 1)
    for task_id in ids:
        task, message = get_task(relay, task_id), answer(relay.get(f"/messages/{task_id}"))
        assert task["claimedBy"] == message["claimedBy"]
        assert (task_id, 409, task["claimedBy"]) in [each for answers in found for each in answers]
        moments = history(relay, task_id)
        assert [(m["event"], m["claimedBy"]) for m in moments] == [
            ("task.created", None),
            ("task.claimed", task["claimedBy"]),
        ]


def test_posters_who_tell_of_the_same_things_make_one_task_each_and_every_event_counts(make_relay: MakeRelay) -> None:
    """The literal 16 x 5,000 over 500 keys is in ``make bench ARGS=tasks``."""
    relay = make_relay(**configured(make_integration()))
    keys, posters, each = 25, 16, 150

    def post(n: int) -> Counter[str]:
        connection = Connection(relay.port, timeout_s=60)
        said: Counter[str] = Counter()
        for i in range(each):
            event = make_event(dedupeKey=f"key-{(i + n // 4) % keys}", target="tag:ops")
            got = connection.http("POST", "/api/integrations/events", event, **bearer())
            said["created" if got.json()["created"] else "deduped"] += 1
            assert got.status == (201 if got.json()["created"] else 200)
        connection.close()
        return said

    said = sum(in_threads(posters, post), Counter[str]())
    assert said == {"created": keys, "deduped": posters * each - keys}
    tasks = answer(relay.get("/tasks?limit=500"))["tasks"]
    assert len(tasks) == keys
    assert {task["occurrenceCount"] for task in tasks} == {posters * each // keys}
    messages = answer(relay.get("/messages?limit=500"))["messages"]
    assert sorted(m["id"] for m in messages) == sorted(task["messageId"] for task in tasks)
    assert all(message["claimable"] for message in messages)
    for task in tasks[:3]:
        moments = history(relay, task["id"])
        assert [m["occurrenceCount"] for m in moments] == list(range(1, task["occurrenceCount"] + 1))


def test_a_thing_that_comes_and_goes_under_load_never_has_two_active_tasks(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration()))

    def tell(n: int) -> list[int]:
        made = []
        for i in range(60):
            if (i + n) % 3 == 0:
                resolve(relay_of(n), "flapping")
            else:
                got = relay_of(n).post(
                    "/integrations/events", make_event(dedupeKey="flapping", target="tag:ops"), headers=bearer()
                )
                if got.status_code == 201:
                    made.append(got.json()["task"]["id"])
        return made

    sessions: dict[int, Any] = {}

    def relay_of(n: int) -> Relay:
        if n not in sessions:
            sessions[n] = Relay(relay.folder)
            sessions[n].url = relay.url
        found: Relay = sessions[n]
        return found

    made = [task_id for ids in in_threads(8, tell) for task_id in ids]
    tasks = answer(relay.get("/tasks?limit=500"))["tasks"]
    assert sorted(task["id"] for task in tasks) == sorted(made)
    assert len([task for task in tasks if task["closedAt"] is None]) <= 1
    for earlier, later in zip(tasks[1:], tasks, strict=False):
        assert earlier["closedAt"] is not None
        assert earlier["closedAt"] <= later["createdAt"]
    for session in sessions.values():
        session._http.close()
