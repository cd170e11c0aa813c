"""What goes on once the demo is there: agents talk, take work, bring tasks forward, and answer the human.

One thread does it all, one act after the other, each at its time; a second one only listens to what the human writes.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from app.demo import world
from app.demo.opening import Opening, ask_about, is_gone, move
from app.demo.people import Agent, filled, recipients, words
from app.demo.stage import Stage
from app.demo.talks import Conversation, Talker
from app.errors import RelayError
from app.model import HUMAN, Message, ReportedStatus, SendMessage, Task, TaskStatus

logger = logging.getLogger(__name__)

#: Seconds between acts of a kind, at the pace of 1.
LINE_S, WORK_S, INCIDENT_S, STEP_S, SIGN_OF_LIFE_S, STATUS_S, RACE_S = 1.2, 11.0, 10.0, 8.0, 20.0, 4.0, 1.5
#: From the human's message to its being read, and to the answer. These keep their pace.
READ_S, ANSWER_S = 0.5, 1.3
#: How long an agent is away, so that the relay sees it go (STALE_TTL_MS in app/demo/child.py), and when the first goes.
NAP_S, FIRST_NAP_S = 240.0, 15.0
#: With fewer agents than this nobody goes away.
_ENOUGH = 8
#: How many conversations go on at a time.
_AT_ONCE = 4


class Show:
    """A relay full of life, until it is told to stop."""

    def __init__(self, stage: Stage, opening: Opening, *, pace: float) -> None:
        """:param pace: how many times as fast as usual."""
        self._stage, self._opening, self._pace = stage, opening, pace
        self._rng = stage.rng
        self._talker = Talker(stage.rng, rare_fan_out=False)
        self._talks: list[Conversation] = []
        self._acts: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._works = itertools.cycle(world.WORKS)
        self._incidents = itertools.cycle(world.INCIDENTS)
        self._by_id = {agent.id: agent for agent in stage.cast}

    def run(self, *, wait: Callable[[float], bool]) -> None:
        """Go on until it is over.

        :param wait: sleeps for so many seconds; true when the demo is to end.
        """
        stop = threading.Event()
        listener = threading.Thread(target=self._listen, args=(stop,), name="demo-listener", daemon=True)
        listener.start()
        for number, agent in enumerate(self._stage.cast):
            self._in(SIGN_OF_LIFE_S * number / len(self._stage.cast), partial(self._sign_of_life, agent))
        self._in(FIRST_NAP_S, self._fall_asleep, keeps_pace=True)
        self._again(self._line, LINE_S)
        self._again(self._work, WORK_S)
        self._again(self._incident, INCIDENT_S)
        self._again(self._status, STATUS_S)
        for task, incident, holder in self._opening.unfinished:
            if task.id not in self._opening.questions.values():  # else it is blocked until the human has answered
                self._in(STEP_S * (0.5 + 4 * self._rng.random()), partial(self._go_on, task, incident, holder, step=1))
        try:
            while not wait(self._pause_s()):
                self._play()
        finally:
            stop.set()
            listener.join(10.0)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _in(self, pause_s: float, act: Callable[[], None], *, keeps_pace: bool = False) -> None:
        at = time.monotonic() + (pause_s if keeps_pace else pause_s / self._pace)
        with self._lock:
            heapq.heappush(self._acts, (at, next(self._numbers), act))

    def _again(self, act: Callable[[], None], pause_s: float) -> None:
        def both() -> None:
            self._again(act, pause_s)
            act()

        self._in(pause_s * (0.6 + 0.8 * self._rng.random()), both)

    def _pause_s(self) -> float:
        """Until the next act; but what the human says may come before."""
        with self._lock:
            at = self._acts[0][0] if self._acts else time.monotonic() + 1.0
        return min(max(at - time.monotonic(), 0.0), 0.25)

    def _play(self) -> None:
        while True:
            with self._lock:
                if not self._acts or self._acts[0][0] > time.monotonic():
                    return
                act = heapq.heappop(self._acts)[2]
            try:
                act()
            except RelayError as exc:
                # The person at the dashboard may have closed, taken or deleted what this was about: the story goes on.
                if not is_gone(exc):
                    logger.debug("the relay did not take an act: %s", exc.detail)

    # -- what agents do ------------------------------------------------------------------------------------------------

    def _sign_of_life(self, agent: Agent) -> None:
        self._in(SIGN_OF_LIFE_S, lambda: self._sign_of_life(agent), keeps_pace=True)
        if agent in self._stage.cast:
            self._stage.client.heartbeat(agent.id)

    def _fall_asleep(self) -> None:
        """Somebody's machine is closed: its agent is stale, then offline, and then it is back."""
        self._in(NAP_S * 1.5, self._fall_asleep, keeps_pace=True)
        if len(self._stage.cast) < _ENOUGH:
            return
        agent = self._rng.choice(self._stage.cast[_ENOUGH // 2 :])
        self._stage.cast.remove(agent)
        self._talks = [talk for talk in self._talks if agent not in {talk.a, talk.b}]
        self._in(NAP_S, partial(self._wake_up, agent), keeps_pace=True)

    def _wake_up(self, agent: Agent) -> None:
        self._stage.cast.append(agent)
        self._stage.client.heartbeat(agent.id, status=ReportedStatus.ONLINE)
        for message in self._stage.client.inbox(agent.id, limit=100).messages:
            if message.from_ == HUMAN and message.to == agent.id:
                self._heard(message)

    def _status(self) -> None:
        agent = self._rng.choice(self._stage.cast)
        status = self._rng.choice(
            (ReportedStatus.BUSY, ReportedStatus.BUSY, ReportedStatus.ONLINE, ReportedStatus.IDLE)
        )
        self._stage.client.heartbeat(agent.id, status=status)

    def _line(self) -> None:
        """Somebody says the next thing."""
        self._talks = [talk for talk in self._talks if not talk.over]
        while len(self._talks) < _AT_ONCE:
            new = self._talker.begin(self._stage.cast)
            if new is None:
                return
            self._talks.append(new)
        talk = self._rng.choice(self._talks)
        message = talk.next_line()
        sent = self._stage.send(message)
        talk.sent(sent)
        for reader in recipients(self._stage.cast, message.to, but=message.from_)[:4]:
            self._in(LINE_S * (0.5 + 2 * self._rng.random()), partial(self._stage.read, sent, reader))

    def _work(self) -> None:
        """Somebody hands out work, several want it, one gets it and reports; one in five gives it back."""
        work = next(self._works)
        giver = self._rng.choice(self._stage.cast)
        values = words(giver, self._rng)
        subject, body = filled(work.subject, values), filled(work.body, values)
        sent = self._stage.send(
            SendMessage(from_=giver.id, to=work.to, subject=subject, body=body, channel="work", claimable=True)
        )

        def race() -> None:
            winner = self._stage.race(sent, recipients(self._stage.cast, work.to, but=giver.id))
            if winner is None:
                return
            self._say(winner, giver.id, self._rng.choice(world.CLAIM_REPORTS), reply_to=sent)
            end = self._give_back if self._rng.random() < 0.2 else self._report
            self._in(
                STEP_S * (1 + self._rng.random()), lambda: end(winner, giver.id, sent, filled(work.report, values))
            )

        self._in(RACE_S * (1 + self._rng.random()), race)

    def _report(self, agent: Agent, to: str, about: int, text: str) -> None:
        self._say(agent, to, text, reply_to=about)

    def _give_back(self, agent: Agent, to: str, about: int, _text: str) -> None:
        self._stage.client.release(about, agent_id=agent.id)
        self._say(agent, to, world.RELEASE_NOTE, reply_to=about)

    def _say(self, agent: Agent, to: str, text: str, *, reply_to: int) -> None:
        self._stage.client.send(to, from_=agent.id, body=filled(text, words(agent, self._rng)), reply_to=reply_to)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _incident(self) -> None:
        """An integration says that something is: a new task, or the same again."""
        incident = next(self._incidents)
        task = self._stage.happens(incident)
        if task is not None and task.occurrence_count == 1:
            self._in(STEP_S * (0.2 + 1.5 * self._rng.random()), lambda: self._go_on(task, incident, None, step=0))

    def _go_on(self, task: Task, incident: world.Incident, agent: Agent | None, *, step: int) -> None:
        """One step of a task's story, and the appointment for the next."""
        agent = agent or self._stage.race(task.id, recipients(self._stage.cast, incident.target))
        if agent is None:
            return
        if step > len(incident.steps):
            self._finish(task, incident, agent)
            return
        if step > 0:
            progress = min(90, round(100 * step / (len(incident.steps) + 1)))
            move(self._stage, task.id, agent, TaskStatus.IN_PROGRESS, progress=progress, note=incident.steps[step - 1])
        self._in(STEP_S * (0.7 + self._rng.random()), lambda: self._go_on(task, incident, agent, step=step + 1))

    def _finish(self, task: Task, incident: world.Incident, agent: Agent) -> None:
        if incident.end == "resolved":
            self._stage.is_over(incident)
        elif incident.end == "blocked" and task.id not in self._opening.questions.values():
            move(self._stage, task.id, agent, TaskStatus.BLOCKED, note=incident.result)
            self._opening.questions[ask_about(self._stage, task, agent)] = task.id
        elif incident.end != "blocked":
            failed = incident.end == "failed"
            status = TaskStatus.FAILED if failed else TaskStatus.DONE
            move(self._stage, task.id, agent, status, progress=None if failed else 100, result=incident.result)

    # -- the human -----------------------------------------------------------------------------------------------------

    def _listen(self, stop: threading.Event) -> None:
        """Hear what the human writes. A relay that is gone ends the demo elsewhere."""
        try:
            with self._stage.client.events(stop=stop) as events:
                for event in events:
                    if event.event == "message.new" and event.data["from"] == HUMAN and event.data["claimedBy"] is None:
                        self._heard(event.message)
        except RelayError as exc:
            logger.debug("the demo hears no more: %s", exc.detail)

    def _heard(self, message: Message | None) -> None:
        """Somebody reads it, and answers soon after."""
        if message is None or (message.id != message.thread_id and message.reply_to is None):
            return
        asked = recipients(self._stage.cast, message.to)
        able = [agent for agent in asked if agent.ready] or asked
        if not able:
            return
        agent = self._by_id.get(message.to) or self._rng.choice(able)
        for reader in asked[:6]:
            self._in(READ_S, partial(self._stage.read, message.id, reader), keeps_pace=True)
        self._in(ANSWER_S, lambda: self._answer(message, agent), keeps_pace=True)

    def _answer(self, message: Message, agent: Agent) -> None:
        task_id = self._opening.questions.pop(message.thread_id, None)
        if message.claimable:
            winner = self._stage.race(message.id, recipients(self._stage.cast, message.to))
            text = self._rng.choice(world.CLAIM_REPORTS)
            agent = winner or agent
        elif task_id is not None:
            text = world.UNBLOCKED.replace("{n}", str(task_id))
            self._in(READ_S, lambda: self._unblock(task_id, agent), keeps_pace=True)
        elif "?" in message.body:
            text = self._rng.choice(world.ANSWERS_TO_QUESTION)
        else:
            text = self._rng.choice(world.ANSWERS_TO_REPLY if message.reply_to else world.ANSWERS_TO_WORD)
        self._say(agent, HUMAN, text, reply_to=message.id)
        if task_id is None and "?" in message.body:
            follow_up = self._rng.choice(world.FOLLOW_UPS)
            self._in(STEP_S, lambda: self._say(agent, HUMAN, follow_up, reply_to=message.id))

    def _unblock(self, task_id: int, agent: Agent) -> None:
        move(self._stage, task_id, agent, TaskStatus.IN_PROGRESS, note="The human has decided.")
        self._in(STEP_S, lambda: move(self._stage, task_id, agent, TaskStatus.DONE, progress=100, result="Corrected."))
