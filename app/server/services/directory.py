"""What every send asks about agents, remembered between their comings and goings.

Who is registered and who receives what changes seldom and is asked for each message. The answers are kept until the
next change of any agent. Used only inside writing transactions, of which there is one at a time and where changes are
made, so that nothing here is ever out of date.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from app.server.store import agents as store

#: Answers kept; targets are anybody's to make up.
MAX_ANSWERS = 50_000


class Directory:
    """A memory of senders and targets."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes | None] = {}
        self._subscribers: dict[str, int] = {}
        self._receives: dict[tuple[str, str], bool] = {}

    def forget(self) -> None:
        """An agent came, changed or went."""
        self._secrets.clear()
        self._subscribers.clear()
        self._receives.clear()

    def look_up(self, connection: Connection, *, senders: Iterable[str], targets: Iterable[str]) -> Directory:
        """Learn what is not known yet of these, with one statement for each kind of question."""
        if len(self._subscribers) + len(self._receives) > MAX_ANSWERS:
            self.forget()
        new_senders = set(senders) - self._secrets.keys()
        if new_senders:
            self._secrets |= store.secrets(connection, new_senders)
        new_targets = set(targets) - self._subscribers.keys()
        if new_targets:
            self._subscribers |= dict.fromkeys(new_targets, 0) | store.count_subscribers(connection, new_targets)
        return self

    def learn_memberships(self, connection: Connection, pairs: set[tuple[str, str]]) -> None:
        """Learn which of these (sender, target) pairs have the sender among the recipients."""
        new = pairs - self._receives.keys()
        if new:
            found = store.memberships(connection, {sender for sender, _ in new}, {target for _, target in new})
            self._receives |= {pair: pair in found for pair in new}

    def is_registered(self, agent_id: str) -> bool:
        """Of a sender that was looked up."""
        return agent_id in self._secrets

    def secret(self, agent_id: str) -> bytes | None:
        """The hash of a registered sender's secret, if it has one."""
        return self._secrets[agent_id]

    def subscribers(self, target: str) -> int:
        """How many agents receive what is sent to a target."""
        return self._subscribers[target]

    def recipients(self, sender: str, target: str) -> int:
        """The same, without the sender."""
        return self._subscribers[target] - self._receives[sender, target]
