"""``agent-relay watch``: what happens on the bus, as it happens."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from app.cli.session import as_json, configured_identity, connect, identity_option, print_json_line, whoami
from app.model import HUMAN

if TYPE_CHECKING:
    from app.client import RelayClient
    from app.client_live import LiveEvent
    from app.errors import RelayError

#: What one line of a message is given where the output has no width.
FIRST_LINE_CHARS = 500


@click.command()
@identity_option("--for", "Only what concerns this agent, beginning with what it has not read.")
@as_json
def watch(*, identity: str | None, json_: bool) -> None:
    """Show what happens, live, until Ctrl-C. It goes on by itself when the relay restarts.

    Without --for and AGENT_RELAY_AGENT_ID it shows everything.
    """
    agent_id = identity or configured_identity()
    if agent_id == HUMAN:
        agent_id = whoami(agent_id, option="--for")
    with connect(as_agent=agent_id) as client:
        client.health()  # a relay that is not there at all is said at once
        follow(client, agent_id, json_=json_)


def follow(
    client: RelayClient,
    agent_id: str | None = None,
    *,
    since: int | None = None,
    json_: bool,
    wanted: Callable[[LiveEvent], bool] = lambda _event: True,
    line: Callable[[LiveEvent], str] | None = None,
) -> None:
    """Print events as they come, until Ctrl-C.

    :param line: an event as text; else as ``watch`` shows it.
    """
    gc.enable()  # app/__main__.py turned it off for commands that end soon
    notices = _Notices()
    with client.events(agent_id, since=since, on_connect=notices.connected, on_disconnect=notices.lost) as events:
        try:
            for event in filter(wanted, events):
                if json_:
                    print_json_line({"event": event.event, "id": event.id, "data": event.data})
                else:
                    click.echo((line or _line)(event))
                sys.stdout.flush()
        except KeyboardInterrupt:
            return  # the way to end it


class _Notices:
    """Says once that the relay is gone, and once that it is back."""

    def __init__(self) -> None:
        self._gone = False

    def connected(self) -> None:
        if self._gone:
            click.echo("agent-relay: connected again", err=True)
        self._gone = False

    def lost(self, error: RelayError, _pause_s: float) -> None:
        if not self._gone:
            click.echo("agent-relay: the relay is gone; waiting for it to come back (Ctrl-C ends)", err=True)
        self._gone = True


def _line(event: LiveEvent) -> str:
    return laid_out(event, *_told(event))


def laid_out(event: LiveEvent, what: str, text: str) -> str:
    """One line for an event, within the terminal's width: when, what, and about what."""
    from app.cli.text import cut, pad, terminal_columns

    start = f"{_when(event)}  "
    columns = terminal_columns()
    text = cut(text, FIRST_LINE_CHARS if columns is None else max(columns - len(start) - len(pad(what, 28)) - 2, 20))
    return click.style(start, dim=True) + (f"{pad(what, 28)}  {text}" if text else what).rstrip()


def _when(event: LiveEvent) -> str:
    from app.cli.text import moment

    # Other events do not say when they happened; they are shown as they happen, or soon after a reconnection.
    name = "createdAt" if event.event == "message.new" else "updatedAt" if event.event.startswith("task.") else ""
    stamp = event.data.get(name) if isinstance(event.data, dict) else None
    then = (moment(stamp) if isinstance(stamp, str) else None) or datetime.now().astimezone()
    then = then.astimezone()
    return f"{then:%H:%M:%S}" if then.date() == datetime.now().astimezone().date() else f"{then:%m-%d %H:%M:%S}"


def _told(event: LiveEvent) -> tuple[str, str]:
    """Who or which message, and what of it."""
    from app.cli.text import marks, one_line

    data = event.data if isinstance(event.data, dict) else {}
    match event.event:
        case "message.new":
            message = event.message
            assert message is not None  # noqa: S101 - as its name says
            names = f"{one_line(message.from_)} → {one_line(message.to)}"
            first = one_line(message.subject or message.body.strip().partition("\n")[0][:FIRST_LINE_CHARS])
            special = [mark for mark in marks(message) if mark != "unverified"]
            return f"#{message.id}  {names}", (f"[{', '.join(special)}] " if special else "") + first
        case "message.claimed":
            return f"#{data.get('id')}  claimed by {one_line(str(data.get('claimedBy')))}", ""
        case "message.released":
            return f"#{data.get('id')}  released", ""
        case "message.deleted":
            return f"#{data.get('id')}  deleted", ""
        case "message.read":
            return f"#{data.get('messageId')}  read by {one_line(str(data.get('agentId')))}", ""
        case "agent.registered":
            return f"{one_line(str(data.get('id')))}  registered", ""
        case "agent.status":
            ready = "" if data.get("ready", True) else ", not taking work"
            return f"{one_line(str(data.get('id')))}  {one_line(str(data.get('status')))}{ready}", ""
        case "agent.removed":
            return f"{one_line(str(data.get('id')))}  left", ""
        case task if task.startswith("task."):
            from app.cli.tasktext import told_of_task

            what, title = told_of_task(task, data)
            return f"task {what}", title
        case "callback.attempt":
            from app.cli.tasktext import told_of_callback

            return told_of_callback(data)
        case "reset":
            return "some events were missed while away; what follows is new", ""
        case other:
            return one_line(other), ""
