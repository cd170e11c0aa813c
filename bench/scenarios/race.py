"""Who gets the work: 64 agents claim the same 200 messages at the same time."""

from __future__ import annotations

import json
from collections import Counter

from bench.http import Caller, drive, register, request_bytes
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids

CLIENTS = 64


def run(run: Run) -> list[Figure]:
    """Each client claims each message, in the same order, so that all want the same one."""
    work = run.pick(200, 50)
    granted: Counter[int] = Counter()
    refused = 0
    with run.relay() as relay:
        register(relay.address, [{"id": agent, "tags": ["crew"]} for agent in agent_ids(CLIENTS)])
        with Caller(relay.address) as caller:
            one = {"from": "human", "to": "tag:crew", "body": "work", "claimable": True}
            ids = [message["id"] for message in caller.call("POST", "/api/messages", [one] * work)["messages"]]
        holders: dict[int, str] = {}

        def note(connection: int, number: int, status: int, body: bytes) -> None:
            nonlocal refused
            answer = json.loads(body)
            if status == 200:
                granted[ids[number]] += 1
                holders[ids[number]] = f"agent-{connection}"
            elif status == 409 and answer["claimedBy"] == holders.get(ids[number], answer["claimedBy"]):
                refused += 1

        requests = [
            [request_bytes("POST", f"/api/messages/{message}/claim", {"agentId": agent}) for message in ids]
            for agent in agent_ids(CLIENTS)
        ]
        load = drive(relay.address, [iter(each) for each in requests], on_answer=note)
    once = sum(1 for message in ids if granted[message] == 1)
    return [
        Figure(name=f"granted exactly once, of {work}", value=once, unit="messages", target=work, at_least=True),
        Figure(
            name="granted more than once",
            value=sum(1 for times in granted.values() if times > 1),
            unit="messages",
            target=0,
        ),
        Figure(
            name="refused with 409 and the holder",
            value=refused,
            unit="claims",
            target=work * (CLIENTS - 1),
            at_least=True,
        ),
        Figure(name="time for all claims", value=load.elapsed_s, unit="s"),
        Figure(name="claims answered", value=load.per_s, unit="claims/s"),
    ]
