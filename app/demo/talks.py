"""Conversations as they go: who says the next line to whom."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from app.demo import world
from app.demo.people import Agent, filled, recipients, words
from app.model import BROADCAST, HUMAN, Priority, SendMessage

#: How often, per round of subjects, those to many at once come among a long history.
_RARELY = 0.05


class Conversation:
    """One run of a :class:`app.demo.world.Talk` between two agents."""

    def __init__(self, talk: world.Talk, *, a: Agent, b: Agent | None, rng: Random) -> None:
        self.talk, self.a, self.b = talk, a, b
        self._words = words(a, rng)
        self._said = 0
        #: the message that a next line answers, and who sent it
        self.last: tuple[int, Agent] | None = None

    @property
    def over(self) -> bool:
        return self._said >= len(self.talk.lines) or (self.b is None and self._said > 0)

    @property
    def speaker(self) -> Agent:
        """Whose turn it is."""
        return self.a if self.talk.lines[self._said][0] == "a" or self.b is None else self.b

    def next_line(self) -> SendMessage:
        """What is said next; :meth:`sent` must follow."""
        speaker, other = self.speaker, self.b if self.speaker is self.a else self.a
        to = self.talk.to
        if (self._said > 0 or to == "b") and other is not None:
            to = other.id
        return SendMessage(
            from_=speaker.id,
            to=to,
            body=filled(self.talk.lines[self._said][1], self._words),
            subject=filled(self.talk.subject, self._words) if self._said == 0 else None,
            channel=self.talk.channel,
            reply_to=None if self.last is None else self.last[0],
            priority=Priority(self.talk.priority if self._said == 0 else "normal"),
        )

    def sent(self, message_id: int) -> None:
        """The next line is out, under this id."""
        self.last = (message_id, self.speaker)
        self._said += 1


class Talker:
    """Begins conversations, with one subject after the other."""

    def __init__(self, rng: Random, *, rare_fan_out: bool) -> None:
        """:param rare_fan_out: where thousands are begun: to many at once only now and then."""
        self._rng, self._rare = rng, rare_fan_out
        self._left: list[world.Talk] = []
        self._questions: list[world.Talk] = []

    def begin(self, cast: Sequence[Agent]) -> Conversation | None:
        """The next conversation; None where nobody is there to have it."""
        talk = self._next()
        speakers = [agent for agent in cast if "chat" in agent.capabilities]
        if not speakers:
            return None
        a = self._rng.choice(speakers)
        target = BROADCAST if talk.to == "b" else talk.to
        others = recipients(speakers, target, but=a.id)
        if not others:
            return None
        near = [agent for agent in others if agent.project is a.project]
        b = self._rng.choice(near if near and self._rng.random() < 0.6 else others)
        return Conversation(talk, a=a, b=b, rng=self._rng)

    def ask(self, cast: Sequence[Agent]) -> Conversation | None:
        """A question to the human."""
        if not self._questions:
            self._questions = [talk for talk in world.TALKS if talk.to == HUMAN]
        speakers = [agent for agent in cast if "chat" in agent.capabilities]
        if not speakers:
            return None
        return Conversation(self._questions.pop(0), a=self._rng.choice(speakers), b=None, rng=self._rng)

    def _next(self) -> world.Talk:
        if not self._left:
            self._left = [talk for talk in world.TALKS if talk.to == "b" or (talk.to != HUMAN and not self._rare)]
            if self._rare and self._rng.random() < _RARELY:
                self._left += [talk for talk in world.TALKS if talk.to not in {"b", HUMAN}]
            self._rng.shuffle(self._left)
        return self._left.pop()
