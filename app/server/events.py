"""The events of the log: what listeners get, one class per event.

``topic`` and ``sender`` say who is concerned: an event about a message goes to the subscribers of the message's target
and to its sender, one about an agent to that agent; whoever observes everything gets all. ``data`` is what listeners
see; for messages it holds only the fields in which the message then differed from its row, and is completed when it is
read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=True):
    """Base of all events."""

    type: ClassVar[str]

    message_id: int | None = None
    agent_id: str | None = None
    topic: str | None = None
    sender: str | None = None
    data: Any = None


class MessageNew(Event, frozen=True):
    """A message was sent, or, under the same message id, announced anew after a release. ``data``: the message."""

    type = "message.new"


class MessageClaimed(Event, frozen=True):
    """An agent claimed a message. ``data``: the message, with ``claimedBy`` and ``claimedAt``."""

    type = "message.claimed"


class MessageReleased(Event, frozen=True):
    """A claim was given back, or its claimant went offline or left. ``data``: the message, claimed by nobody."""

    type = "message.released"


class MessageRead(Event, frozen=True):
    """A recipient has read a message. ``data``: ``messageId``, ``agentId``, ``at``."""

    type = "message.read"


class MessageDeleted(Event, frozen=True):
    """A message was removed. ``data``: the message without its text (empty ``body``, no ``subject``, no ``meta``)."""

    type = "message.deleted"


class AgentRegistered(Event, frozen=True):
    """An agent appeared. ``data``: its card."""

    type = "agent.registered"


class AgentStatus(Event, frozen=True):
    """Something on an agent's card changed: its status, or what it said of itself. ``data``: its card."""

    type = "agent.status"


class AgentRemoved(Event, frozen=True):
    """An agent left, or was pruned after being offline for long. ``data``: its last card."""

    type = "agent.removed"


class TaskCreated(Event, frozen=True):
    """An integration's event made a task. ``data``: the task."""

    type = "task.created"


class TaskUpdated(Event, frozen=True):
    """The same thing happened again, or its agent reported progress. ``data``: the task."""

    type = "task.updated"


class TaskClaimed(Event, frozen=True):
    """An agent claimed a task. ``data``: the task."""

    type = "task.claimed"


class TaskStatusChanged(Event, frozen=True):
    """A task moved: by its agent, a human or its integration, or back to open by a release. ``data``: the task."""

    type = "task.status"


class CallbackAttempt(Event, frozen=True):
    """A callback was tried. ``data``: the delivery with its attempts."""

    type = "callback.attempt"


def all_types() -> list[type[Event]]:
    """Every event, for docs/events.md and its test."""
    return Event.__subclasses__()
