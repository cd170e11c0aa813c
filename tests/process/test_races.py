"""Who gets the work: real clients that race, and claimants that die."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

from tests.process._relay import DEADLINE_S, Connection, EventStream, wait_until
from tests.process.conftest import MakeRelay

CLIENTS = 64
PROCESSES = 8
MESSAGES = 200
#: How many of the clients want the same message.
CONTENDERS = 16

#: One process with several connections; each tries to claim all of its messages. Prints who, what and the outcome.
_CONTENDERS = """
import http.client, json, sys, threading
port, wanted = int(sys.argv[1]), json.loads(sys.argv[2])
start = threading.Barrier(len(wanted) + 1)
found = []
def contend(name, ids):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    body = json.dumps({"agentId": name})
    start.wait()
    for message in ids:
        connection.request("POST", f"/api/messages/{message}/claim", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        found.append((name, message, response.status, json.load(response).get("claimedBy")))
threads = [threading.Thread(target=contend, args=pair) for pair in wanted.items()]
for thread in threads: thread.start()
print("ready", flush=True)
sys.stdin.readline()
start.wait()
for thread in threads: thread.join()
print(json.dumps(found))
"""


def test_64_clients_race_for_200_messages_and_each_is_granted_exactly_once(make_relay: MakeRelay) -> None:
    relay = make_relay()
    names = [f"racer-{number}" for number in range(CLIENTS)]
    for name in names:
        relay.register(name, tags=["race"])
    work = [{"from": "human", "to": "tag:race", "body": f"work {n}", "claimable": True} for n in range(MESSAGES)]
    ids = [message["id"] for message in relay.ok("POST", "/api/messages", work)["messages"]]
    observer = EventStream(relay.port, f"?since={ids[-1]}")

    groups = CLIENTS // CONTENDERS
    wanted = {name: ids[number % groups :: groups] for number, name in enumerate(names)}
    processes = []
    try:
        for number in range(PROCESSES):
            mine = json.dumps({name: wanted[name] for name in names[number::PROCESSES]})
            command = [sys.executable, "-c", _CONTENDERS, str(relay.port), mine]
            processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outcomes = [outcome for process in processes for outcome in json.loads(process.communicate(timeout=60)[0])]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    assert len(outcomes) == CONTENDERS * MESSAGES
    winners: dict[int, str] = {}
    for name, message, status, _ in outcomes:
        if status == 200:
            assert message not in winners, f"{message} was granted to {winners[message]} and to {name}"
            winners[message] = name
    assert set(winners) == set(ids)
    for name, message, status, claimed_by in outcomes:
        assert status in {200, 409}, (name, message, status)
        assert claimed_by == winners[message]
    assert len(set(winners.values())) > 1, "nobody raced"
    # What listeners were told is what was granted.
    with contextlib.closing(observer):
        told: dict[int, str] = {}
        while len(told) < MESSAGES:
            event = observer.next()
            if event.type == "message.claimed":
                assert event.data["id"] not in told
                told[event.data["id"]] = event.data["claimedBy"]
    assert told == winners


#: An agent in a process of its own: claims, listens, and lives until it is killed.
_CLAIMANT = """
import json, sys, urllib.request
url, name, message = sys.argv[1:]
def post(path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=15).status
post("/api/agents", {"id": name, "tags": ["work"]})
stream = urllib.request.urlopen(f"{url}/api/events?for={name}", timeout=None)
stream.readline()
print(post(f"/api/messages/{message}/claim", {"agentId": name}), flush=True)
while stream.readline(): pass
"""


def test_work_of_a_killed_agent_is_released_and_claimed_by_another(make_relay: MakeRelay) -> None:
    relay = make_relay(STALE_TTL_MS="500", REAP_INTERVAL_MS="100")
    work = relay.tell("tag:work", "w", claimable=True)
    relay.register("second", tags=["work"])
    observer = EventStream(relay.port, f"?since={work}")
    command = [sys.executable, "-c", _CLAIMANT, relay.url, "first", str(work)]
    with (
        contextlib.closing(observer),
        contextlib.closing(EventStream(relay.port, "?for=second")) as listener,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as claimant,
    ):
        try:
            assert listener.next().data["id"] == work
            assert claimant.stdout is not None
            assert claimant.stdout.readline() == "200\n"
            # Longer than it takes to be offline: a claim never expires while its agent lives.
            silence = threading.Event()
            for _ in range(8):
                silence.wait(0.25)
                refused = relay.http("POST", f"/api/messages/{work}/claim", {"agentId": "second"})
                assert refused.status == 409
                assert refused.problem()["claimedBy"] == "first"
        finally:
            claimant.kill()
        claimant.wait()

        def claimed_by_second() -> bool:
            answer = relay.http("POST", f"/api/messages/{work}/claim", {"agentId": "second"})
            assert answer.status in {200, 409}
            return answer.status == 200

        wait_until(claimed_by_second, "the claim of the dead is released")
        assert relay.ok("GET", "/api/agents/first")["status"] == "offline"
        # The one that comes back has lost it.
        relay.register("first", tags=["work"])
        refused = relay.http("POST", f"/api/messages/{work}/claim", {"agentId": "first"})
        assert (refused.status, refused.problem()["claimedBy"]) == (409, "second")
        # Released and announced anew, under the same id, before it was granted again.
        said: list[tuple[str, int, str | None]] = []
        while len(said) < 4:
            event = observer.next()
            if event.type.startswith("message."):
                said.append((event.type, event.data["id"], event.data["claimedBy"]))
        assert said == [
            ("message.claimed", work, "first"),
            ("message.released", work, None),
            ("message.new", work, None),
            ("message.claimed", work, "second"),
        ]
        heard = [listener.next() for _ in range(3)]
        while heard[-1].type != "message.new":
            heard.append(listener.next())
        assert heard[-1].data["id"] == work


def test_claims_and_releases_that_race_never_overlap(make_relay: MakeRelay) -> None:
    relay = make_relay()
    names = [f"agent-{number}" for number in range(8)]
    for name in names:
        relay.register(name, tags=["turns"])
    work = relay.tell("tag:turns", "w", claimable=True)
    start = threading.Barrier(len(names))
    failures: list[Any] = []

    def take_turns(name: str) -> None:
        with contextlib.closing(Connection(relay.port)) as connection:
            start.wait()
            for _ in range(40):
                status = connection.http("POST", f"/api/messages/{work}/claim", {"agentId": name}).status
                if status == 200:
                    status = connection.http("POST", f"/api/messages/{work}/release", {"agentId": name}).status
                    if status != 200:
                        failures.append((name, "lost it", status))
                elif status != 409:
                    failures.append((name, "claim", status))

    threads = [threading.Thread(target=take_turns, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not failures

    head = relay.ok("GET", "/api/stats")["eventSeq"]
    turns: Counter[str] = Counter()
    holder = None
    with contextlib.closing(EventStream(relay.port, f"?since={work}")) as log:
        while True:
            event = log.next()
            if event.type == "message.claimed":
                assert holder is None, f"{event.data['claimedBy']} was granted what {holder} held"
                holder = event.data["claimedBy"]
                turns[holder] += 1
            elif event.type == "message.released":
                assert holder is not None
                holder = None
            if event.id >= head:
                break
    assert holder is None
    assert sum(turns.values()) >= len(names), turns
