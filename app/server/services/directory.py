"""What every send asks about agents, remembered between their comings and goings.

Who is registered and who receives what changes seldom and is asked for each message. The answers are kept until the
next change of any agent. Used only inside writing transactions, of which there is one at a time and where changes are
made, so that nothing here is ever out of date.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from app.model import BROADCAST, HUMAN
from app.server.store import agents as store

#: Answers kept; targets are anybody's to make up.
MAX_ANSWERS = 50_000


def is_direct(target: str) -> bool:
    """Whether a target names one agent, which then is the only one to receive what is sent there."""
    return ":" not in target and target != BROADCAST


class Directory:
    """A memory of senders and targets."""

    def __init__(self) -> None:
        #: of those who were asked for and are registered, the hash of their secret
        self._secrets: dict[str, bytes | None] = {}
        self._absent: set[str] = set()
        self._subscribers: dict[str, int] = {}
        self._receives: dict[tuple[str, str], bool] = {}

    def forget(self) -> None:
        """An agent came, changed or went."""
        self._secrets.clear()
        self._absent.clear()
        self._subscribers.clear()
        self._receives.clear()

    def look_up(self, connection: Connection, pairs: set[tuple[str, str]]) -> None:
        """Learn what is not known yet of these senders and their targets, with one statement for each kind of question.

        :param pairs: (sender, target).
        """
        if len(self._secrets) + len(self._absent) + len(self._subscribers) + len(self._receives) > MAX_ANSWERS:
            self.forget()
        fan_out = {pair for pair in pairs if not is_direct(pair[1])}
        self._look_up_agents(connection, {name for pair in pairs for name in pair if is_direct(name)})
        if fan_out:
            self._look_up_fan_out(connection, fan_out)

    def _look_up_agents(self, connection: Connection, ids: Iterable[str]) -> None:
        new = {name for name in ids if name not in self._secrets and name not in self._absent}
        if new:
            found = store.secrets(connection, new)
            self._secrets |= found
            self._absent |= new - found.keys()

    def _look_up_fan_out(self, connection: Connection, pairs: set[tuple[str, str]]) -> None:
        new_targets = {target for _, target in pairs} - self._subscribers.keys()
        if new_targets:
            self._subscribers |= dict.fromkeys(new_targets, 0) | store.count_subscribers(connection, new_targets)
        new = pairs - self._receives.keys()
        if new:
            found = store.memberships(connection, {sender for sender, _ in new}, {target for _, target in new})
            self._receives |= {pair: pair in found for pair in new}

    def is_registered(self, agent_id: str) -> bool:
        """Of a sender, or of an agent as target, that was looked up."""
        return agent_id in self._secrets

    def secret(self, agent_id: str) -> bytes | None:
        """The hash of a registered sender's secret, if it has one."""
        return self._secrets[agent_id]

    def recipients(self, sender: str, target: str) -> int:
        """How many agents receive what is sent to a target; the sender does not."""
        if is_direct(target):
            return int(sender != target and self.is_there(target))
        return self._subscribers[target] - self._receives[sender, target]

    def is_there(self, target: str) -> bool:
        """Whether the agent that a message is sent to receives it now, or it has to wait for it."""
        return target == HUMAN or target in self._secrets
