"""``agent-relay watch``: what happens on the bus, as it happens."""

from __future__ import annotations

import gc
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from app.cli.session import as_json, configured_identity, connect, identity_option, print_json_line, whoami
from app.model import HUMAN

if TYPE_CHECKING:
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
        gc.enable()  # app/__main__.py turned it off for commands that end soon
        notices = _Notices()
        with client.events(agent_id, on_connect=notices.connected, on_disconnect=notices.lost) as events:
            try:
                for event in events:
                    if json_:
                        print_json_line({"event": event.event, "id": event.id, "data": event.data})
                    else:
                        click.echo(_line(event))
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
    from app.cli.text import cut, pad, terminal_columns

    what, text = _told(event)
    start = f"{_when(event)}  "
    columns = terminal_columns()
    text = cut(text, FIRST_LINE_CHARS if columns is None else max(columns - len(start) - len(pad(what, 28)) - 2, 20))
    return click.style(start, dim=True) + (f"{pad(what, 28)}  {text}" if text else what).rstrip()


def _when(event: LiveEvent) -> str:
    from app.cli.text import moment

    stamp = event.data.get("createdAt") if event.event == "message.new" and isinstance(event.data, dict) else None
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
        case "reset":
            return "some events were missed while away; what follows is new", ""
        case other:
            return one_line(other), ""
