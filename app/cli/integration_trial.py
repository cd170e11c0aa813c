"""``agent-relay integrations test``: a real event in an integration's name, its end, and what its callbacks came to."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from app.cli import detail_of
from app.cli.session import connect, print_json
from app.cli.text import one_line
from app.errors import RelayError, Unauthorized
from app.integrations import ALL, Integration
from app.model import HUMAN, Delivery, DeliveryState, EventStatus, IntegrationEvent, Severity, Task

#: How long callbacks are waited for.
WAIT_S = 15.0
_LOOK_S = 0.2
#: How much of a receiver's refusal is shown.
_RESPONSE_CHARS = 120


class _Failed(Exception):
    """The trial ends here; what went wrong, in one line."""


class Trial:
    """One trial; what happens is printed as it happens."""

    def __init__(
        self, entry: Integration, *, origin: str, target: str | None, channel: str | None, quiet: bool
    ) -> None:
        """
        :param origin: where the integration is set, for when the relay does not know it.
        :param quiet: print nothing but a JSON document at the end.
        """
        self._entry, self._origin, self._quiet = entry, origin, quiet
        # Where anything goes: the human, whom a test disturbs least.
        self._target = target or (HUMAN if entry.targets == ALL else entry.targets[0])
        self._channel = channel or ("test" if entry.channels == ALL else entry.channels[0])
        self._task: Task | None = None
        self._callbacks: list[Delivery] = []

    def run(self) -> int:
        """:returns: the exit code."""
        problem = None
        try:
            self._send()
            if self._entry.callback_url is not None:
                self._await_callbacks()
        except _Failed as exc:
            problem = str(exc)
        if self._quiet:
            found = {"ok": problem is None, "problem": problem, "task": self._task, "callbacks": self._callbacks}
            print_json(found)
        if problem is not None:
            raise click.ClickException(one_line(problem))
        self._say(f"{one_line(self._entry.name)} works.")
        return 0

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text)

    def _send(self) -> None:
        import secrets

        key = f"agent-relay.test:{secrets.token_hex(8)}"
        opened = IntegrationEvent(
            type="agent-relay.test",
            severity=Severity.INFO,
            dedupe_key=key,
            title=f"Test of the integration {self._entry.name}",
            body="Made by agent-relay integrations test, and closed again at once: there is nothing to do.",
            target=self._target,
            channel=self._channel,
        )
        with connect(integration_token=self._entry.token) as client:
            try:
                self._task = made = client.send_event(opened).task
            except RelayError as exc:
                raise _Failed(self._explained(exc, url=client.url)) from exc
            if made is None:
                raise _Failed("the relay took the event and made no task of it")
            self._say(f"#{made.id} made for {one_line(made.target)} in {one_line(made.channel)}, at {client.url}")
            try:
                answer = client.send_event(IntegrationEvent(status=EventStatus.RESOLVED, dedupe_key=key))
            except RelayError as exc:
                raise _Failed(f"task {made.id} stays open: {self._explained(exc, url=client.url)}") from exc
        self._task = answer.task or made
        self._say(f"#{made.id} closed again" if answer.task else f"#{made.id} was closed by somebody else meanwhile")

    def _explained(self, exc: RelayError, *, url: str) -> str:
        if not isinstance(exc, Unauthorized):
            return detail_of(exc)
        return (
            f"the relay at {url} does not know this token: it does not go by {self._origin}. It may run on another "
            "machine, as another user or with another environment, or the file may be one that it refuses: see its log"
        )

    def _await_callbacks(self) -> None:
        """Print each attempt as it comes, until all is delivered or the time is up."""
        assert self._task is not None  # noqa: S101 - it was sent
        deadline = time.monotonic() + WAIT_S
        shown: set[tuple[int, int]] = set()
        try:
            with connect() as client:
                while True:
                    self._callbacks = client.callbacks(task_id=self._task.id, limit=500).callbacks[::-1]
                    self._show_attempts(shown)
                    waits = any(each.state is DeliveryState.PENDING for each in self._callbacks)
                    if not waits or time.monotonic() > deadline:
                        break
                    time.sleep(_LOOK_S)
        except RelayError as exc:
            raise _Failed(f"what became of the callbacks cannot be seen: {detail_of(exc)}") from exc
        self._judge(self._callbacks)

    def _show_attempts(self, shown: set[tuple[int, int]]) -> None:
        for delivery in self._callbacks:
            for attempt in delivery.attempts:
                if (delivery.id, attempt.number) in shown:
                    continue
                shown.add((delivery.id, attempt.number))
                outcome = f"answered {attempt.status}" if attempt.error is None else one_line(attempt.error)
                answer = one_line((attempt.response or "").strip().partition("\n")[0])[:_RESPONSE_CHARS]
                said = f": {answer}" if attempt.error is not None and answer else ""
                again = f" · attempt {attempt.number}" if attempt.number > 1 else ""
                self._say(f"    callback {delivery.event:13}  {outcome}{said} · {attempt.duration_ms} ms{again}")

    def _judge(self, found: Sequence[Delivery]) -> None:
        if not found:
            raise _Failed(f"there was no callback: the relay knows {self._entry.name} without a callbackUrl")
        delivered = sum(each.state is DeliveryState.DELIVERED for each in found)
        if delivered == len(found):
            return
        goes_on = any(each.state is DeliveryState.PENDING for each in found)
        further = f" within {WAIT_S:.0f} s; the relay goes on trying for a day" if goes_on else ""
        raise _Failed(f"{delivered} of {len(found)} callbacks were delivered{further}")
