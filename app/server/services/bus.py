"""What every service works with, handed in once at the start."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from app.config import Settings
from app.errors import AgentNotFound, AgentSecretRequired
from app.model import HUMAN
from app.server.clock import Clock
from app.server.services.directory import Directory
from app.server.services.integrations import Integrations
from app.server.services.losses import Losses
from app.server.services.outbox import Outbox
from app.server.services.presence import Presence
from app.server.store import agents as agent_store
from app.server.store.engine import Store


@dataclass(frozen=True, kw_only=True)
class Bus:
    """The relay's state and the means to change it."""

    settings: Settings
    store: Store
    clock: Clock
    presence: Presence
    integrations: Integrations
    directory: Directory = field(default_factory=Directory)
    outbox: Outbox = field(default_factory=Outbox)
    losses: Losses = field(init=False)
    #: held while a backup is being made or fetched
    backup_turn: threading.Lock = field(default_factory=threading.Lock)
    #: tells this run of the relay from any other
    instance: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", Losses(self.store, self.clock))


def sha256(secret: str) -> bytes:
    """What is stored of a secret. Ours are 256 random bits, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def check_secret(agent_id: str, *, wanted: bytes | None, given: str | None) -> bool:
    """Hold the secret of whoever speaks in an agent's name against the stored hash.

    :returns: whether the speaker is proven to be that agent; False where the agent never asked for a secret.
    :raises AgentSecretRequired: it has one, and this is not it.
    """
    if wanted is None:
        return False
    if given is None or not hmac.compare_digest(sha256(given), wanted):
        raise AgentSecretRequired(
            f"The agent {agent_id} has a secret: whoever speaks in its name sends it as X-Agent-Relay-Agent-Secret."
        )
    return True


def authorise(connection: Connection, agent_id: str, *, secret: str | None) -> bool:
    """Check that a call may be made in this agent's name.

    :returns: whether the caller proved itself with the agent's secret.
    :raises AgentNotFound: it is not registered.
    :raises AgentSecretRequired: it has a secret, and this is not it.
    """
    if agent_id == HUMAN:
        return False
    known = agent_store.secrets(connection, [agent_id])
    if agent_id not in known:
        raise AgentNotFound(f"No agent {agent_id} is registered; register it with POST /api/agents.")
    return check_secret(agent_id, wanted=known[agent_id], given=secret)


def unique(values: Iterable[str]) -> list[str]:
    """Without repeats, in the order given."""
    return list(dict.fromkeys(values))
