"""What all acts of the demo share: the clients, the cast, chance, and how a few things are done."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from random import Random

from app import integrations
from app.client import RelayClient
from app.demo import world
from app.demo.people import Agent, make_cast
from app.demo.receiver import Receiver
from app.errors import ClaimConflict, RelayError
from app.integrations import ALL, Integration
from app.model import EventStatus, IntegrationEvent, ReportedReceipt, SendMessage, Severity, Task

#: Nobody waits for the demo's calls for longer.
TOTAL_S = 10.0
#: Of each integration: where its tasks go about.
CHANNELS = {"ci": ("ci", "releases"), "alerts": ("alerts",), "support": ("support",)}


class Stage:
    """Clients of one relay, and the pretend agents."""

    def __init__(self, url: str, *, config_dir: Path, agents: int, seed: int) -> None:
        """Begins the receiver of callbacks and writes ``integrations.json``; :meth:`close` must follow.

        :param config_dir: of the relay.
        """
        self.seed = seed
        self.rng = Random(seed)  # noqa: S311 - a pretend world, no secret
        self.cast = make_cast(agents, seed=seed)
        self.client = _client(url)
        self._tokens = {name: f"art_{secrets.token_urlsafe(32)}" for name in CHANNELS}
        self._file = config_dir / "integrations.json"
        self.integrations = {name: _client(url, token=token) for name, token in self._tokens.items()}
        self.receiver = Receiver()
        self.configure()

    def close(self) -> None:
        self.receiver.close()
        for client in (self.client, *self.integrations.values()):
            client.close()

    def configure(self, *, support_is_told: bool = True) -> None:
        """Write ``integrations.json``: callbacks of support go where nobody is, or nowhere."""
        urls: dict[str, str | None] = dict.fromkeys(CHANNELS, self.receiver.url)
        urls["support"] = self.receiver.nobody_url if support_is_told else None
        found = [
            Integration(
                name=name,
                token=token,
                scopes=("tasks:create", "tasks:read", "messages:send"),
                targets=ALL,
                channels=CHANNELS[name],
                callback_url=urls[name],
                callback_secret=None if urls[name] is None else _SIGNED_WITH,
            )
            for name, token in self._tokens.items()
        ]
        integrations.write(self._file, found)

    def send(self, message: SendMessage) -> int:
        """Send what a conversation says; its id."""
        return self.client.send(
            message.to,
            from_=message.from_,
            body=message.body,
            subject=message.subject,
            channel=message.channel,
            reply_to=message.reply_to,
            claimable=message.claimable,
            priority=message.priority,
        ).id

    def read(self, message_id: int, agent: Agent) -> None:
        """It comes to an agent by one of its ways, and is read."""
        adapter = world.WAKE_PATHS[agent.rig][0]
        self.client.report_receipt(message_id, agent_id=agent.id, state=ReportedReceipt.DELIVERED, adapter=adapter)
        self.client.read(message_id, agent_id=agent.id)

    def race(self, message_id: int, agents: Sequence[Agent], *, most: int = 3) -> Agent | None:
        """Several agents claim at once; who gets it. None where nobody may."""
        winner = None
        able = [agent for agent in agents if agent.ready]
        for agent in self.rng.sample(able, min(most, len(able))):
            try:
                self.client.claim(message_id, agent_id=agent.id)
                winner = agent
            except ClaimConflict:
                continue  # too late, as all but one
            except RelayError:
                break
        return winner

    def happens(self, incident: world.Incident, *, worse: bool = False) -> Task | None:
        """An integration says that something is; the task."""
        severity = Severity.CRITICAL if worse else Severity(incident.severity)
        return (
            self.integrations[incident.integration]
            .send_event(
                IntegrationEvent(
                    type=incident.type,
                    severity=severity,
                    dedupe_key=incident.key,
                    title=incident.title,
                    body=incident.body,
                    target=incident.target,
                    channel=incident.channel,
                    external_url=incident.url,
                    metadata={"reportedBy": incident.integration},
                )
            )
            .task
        )

    def is_over(self, incident: world.Incident) -> None:
        """The integration says that it is over."""
        resolved = IntegrationEvent(status=EventStatus.RESOLVED, dedupe_key=incident.key)
        self.integrations[incident.integration].send_event(resolved)


#: Signs the callbacks to the demo's own receiver; it guards nothing.
_SIGNED_WITH = "whsec_YSBkZW1vIGtlZXBzIG5vIHNlY3JldA=="


def _client(url: str, *, token: str | None = None) -> RelayClient:
    return RelayClient(url, token=token, retries=1, total_s=TOTAL_S)
