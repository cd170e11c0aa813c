"""What is there when the demo begins: agents, a history, work, tasks in every state, and questions."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.demo import world
from app.demo.people import Agent, filled, recipients, words
from app.demo.stage import Stage
from app.demo.talks import Conversation, Talker
from app.errors import RelayError
from app.model import HUMAN, DeliveryState, SendMessage, Task, TaskStatus

#: The most that one call may carry.
_BATCH = 1_000
#: How many conversations go on at a time in a short history.
_AT_ONCE = 6
#: How long a callback that nobody wants any more may take to be given up.
_DEAD_S = 15.0
#: How many messages at the end of the history some agents have not read yet.
_UNREAD = 12


class Opening:
    """Fills a relay. Nothing here waits for the world's own time."""

    def __init__(self, stage: Stage, *, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """
        :param say: told how far it is, a line at a time.
        :param stopped: asked between calls; where it says so, the rest is left out.
        """
        self._stage, self._say, self._stopped = stage, say, stopped
        #: tasks that nobody has finished yet, with their stories
        self.unfinished: list[tuple[Task, world.Incident, Agent | None]] = []
        #: threads in which the human is asked about a task
        self.questions: dict[int, int] = {}

    def fill(self, *, messages: int) -> None:
        """:param messages: how long the history is, without what belongs to work and tasks."""
        acts: list[Callable[[], None]] = [
            self._register,
            lambda: self._history(messages),
            self._read,
            self._work,
            self._tasks,
            self._dead_callbacks,
            self._answered,
            self._ask,
        ]
        for act in acts:
            if self._stopped():
                return
            act()

    def _register(self) -> None:
        for agent in self._stage.cast:
            if self._stopped():
                return
            self._stage.client.register(agent.id, **agent.card())

    def _history(self, messages: int) -> None:
        stage = self._stage
        many = messages > _BATCH
        talker = Talker(stage.rng, rare_fan_out=many)
        at_once = _BATCH if many else _AT_ONCE
        going: list[Conversation] = []
        sent = 0
        begun = told = time.monotonic()
        while sent < messages and not self._stopped():
            going = [each for each in going if not each.over]
            while len(going) < at_once:
                new = talker.begin(stage.cast)
                if new is None:
                    break
                going.append(new)
            lines = going[: messages - sent]
            if not lines:
                return  # nobody is there to talk
            answers = stage.client.send_batch([each.next_line() for each in lines])
            for each, answer in zip(lines, answers, strict=True):
                each.sent(answer.id)
            sent += len(lines)
            if time.monotonic() - told > 1.0:
                told = time.monotonic()
                self._say(f"{sent:,} of {messages:,} messages, {sent / (told - begun):,.0f} a second")

    def _read(self) -> None:
        """Most of it has been read, by everybody but a few."""
        newest = self._stage.client.cursor()
        told = time.monotonic()
        for number, agent in enumerate(self._stage.cast):
            if self._stopped():
                return
            if number % 12 == 9:
                continue  # whoever has been away for long
            up_to = newest if number % 3 else newest - _UNREAD
            self._stage.client.read_up_to(max(up_to, 0), agent_id=agent.id)
            if time.monotonic() - told > 1.0:
                told = time.monotonic()
                self._say(f"{number + 1} of {len(self._stage.cast)} agents have read")

    def _work(self) -> None:
        stage = self._stage
        for number, work in enumerate(world.WORKS):
            giver = stage.cast[number % min(2, len(stage.cast))]
            values = words(giver, stage.rng)
            sent = stage.send(
                SendMessage(
                    from_=giver.id,
                    to=work.to,
                    subject=filled(work.subject, values),
                    body=filled(work.body, values),
                    channel="work",
                    claimable=True,
                )
            )
            if number % 4 == 3:
                continue  # still to be had
            winner = stage.race(sent, recipients(stage.cast, work.to, but=giver.id))
            if winner is None:
                continue
            if number == 2:
                stage.client.release(sent, agent_id=winner.id)
                stage.client.send(giver.id, from_=winner.id, body=world.RELEASE_NOTE, reply_to=sent)
            elif number % 4:
                stage.client.send(giver.id, from_=winner.id, body=filled(work.report, values), reply_to=sent)

    def _tasks(self) -> None:
        for number, incident in enumerate(world.INCIDENTS):
            if self._stopped():
                return
            self._task(number, incident)

    def _task(self, number: int, incident: world.Incident) -> None:
        """Bring one to where its number says; the longer ago, the further."""
        stage = self._stage
        task = stage.happens(incident)
        if task is None:
            return
        for time_again in range(2 if number in {1, 7} else 1 if number == 3 else 0):
            task = stage.happens(incident, worse=number == 1 and time_again == 1) or task
        winner = stage.race(task.id, recipients(stage.cast, incident.target)) if number not in {7, 8} else None
        if winner is None:
            self.unfinished.append((task, incident, None))
            return
        if number != 2:
            move(stage, task.id, winner, TaskStatus.IN_PROGRESS, progress=20, note=incident.steps[0])
        if number == 1:
            move(stage, task.id, winner, TaskStatus.IN_PROGRESS, progress=45, note=incident.steps[-1])
        if number in {0, 4}:
            move(stage, task.id, winner, TaskStatus.DONE, progress=100, result=incident.result)
        elif incident.end == "failed":
            move(stage, task.id, winner, TaskStatus.FAILED, result=incident.result)
        elif number == 9:
            stage.client.set_task_status(task.id, status=TaskStatus.CANCELLED, note="Not this week, please.")
        else:
            if incident.end == "blocked":
                move(stage, task.id, winner, TaskStatus.BLOCKED, note=incident.result)
                asked = ask_about(stage, task, winner)
                self.questions[asked] = task.id
            self.unfinished.append((task, incident, winner))

    def _dead_callbacks(self) -> None:
        """Somebody took the address of support's receiver away while callbacks were on their way: those are dead."""
        stage = self._stage
        stage.configure(support_is_told=False)
        deadline = time.monotonic() + _DEAD_S
        pause_s = 0.1
        while time.monotonic() < deadline and not self._stopped():
            if stage.client.callbacks(state=DeliveryState.DEAD, limit=1).callbacks:
                break
            time.sleep(pause_s)
        stage.configure()
        again = next((incident for incident in world.INCIDENTS if incident.integration == "support"), None)
        if again is not None:
            stage.happens(again)

    def _answered(self) -> None:
        """Two conversations with the human."""
        stage = self._stage
        for number, agent in enumerate(stage.cast[:2]):
            values = words(agent, stage.rng)
            question = "How far are you with `{branch}`? I would like to show it on Thursday."
            asked = stage.client.send(agent.id, from_=HUMAN, body=filled(question, values))
            stage.read(asked.id, agent)
            answer = filled(world.ANSWERS_TO_QUESTION[2 - number], values)
            stage.client.send(HUMAN, from_=agent.id, body=answer, reply_to=asked.id)
        stage.client.read_up_to(stage.client.cursor(), agent_id=HUMAN)

    def _ask(self) -> None:
        """Questions that wait for an answer."""
        talker = Talker(self._stage.rng, rare_fan_out=False)
        for _ in range(3):
            asked = talker.ask(self._stage.cast)
            if asked is not None:
                self._stage.send(asked.next_line())


def ask_about(stage: Stage, task: Task, agent: Agent) -> int:
    """Ask the human about a task that is blocked; the message."""
    body = filled(world.BLOCKED_QUESTION, {"n": str(task.id), "title": task.title})
    return stage.client.send(HUMAN, from_=agent.id, body=body, subject=task.title, channel="decisions").id


def move(
    stage: Stage,
    task_id: int,
    agent: Agent,
    status: TaskStatus,
    *,
    progress: int | None = None,
    note: str | None = None,
    result: str | None = None,
) -> None:
    """Move a task in its claimant's name."""
    more: dict[str, int | str] = {}
    if progress is not None:
        more["progress"] = progress
    if result is not None:
        more["result"] = result
    stage.client.set_task_status(task_id, status=status, agent_id=agent.id, note=note, **more)  # type: ignore[arg-type]


def is_gone(exc: RelayError) -> bool:
    """Whether what a story was about is no more: somebody else closed, took or deleted it."""
    return 400 <= exc.status < 500
