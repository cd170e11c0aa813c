"""Commands about messages: send, look, read, claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.cli.session import acting_as, as_json, connect, identity_option, print_json, standard_input, whoami

if TYPE_CHECKING:
    from app.model import Message

PRIORITIES = ("low", "normal", "high", "urgent")

_message_id = click.argument("message_id", metavar="ID", type=click.IntRange(1))
_for = identity_option("--for", "Whose inbox; else AGENT_RELAY_AGENT_ID, else human at a terminal.")


@click.command()
@click.argument("to", metavar="TO")
@click.argument("body", metavar="BODY|-")
@acting_as
@click.option("--subject", metavar="TEXT", help="A line that says what it is about.")
@click.option("--channel", metavar="NAME", help="The conversation's topic, for filters.")
@click.option("--reply-to", metavar="ID", type=click.IntRange(1), help="The message that this answers.")
@click.option("--claimable", is_flag=True, help="It is work: one recipient claims it before acting.")
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", help="How urgent it is.")
@as_json
def send(
    *,
    to: str,
    body: str,
    identity: str | None,
    subject: str | None,
    channel: str | None,
    reply_to: int | None,
    claimable: bool,
    priority: str,
    json_: bool,
) -> None:
    """Send a message.

    TO is an agent id, tag:NAME, cap:NAME, label:NAME, broadcast, or human. With - for BODY the text is read from
    standard input.
    """
    sender = whoami(identity, option="--as", body_on_stdin=body == "-")
    text = standard_input() if body == "-" else body
    if not text:
        raise click.UsageError("The message is empty.")
    from app.model import Priority

    with connect(as_agent=sender) as client:
        sent = client.send(
            to,
            from_=sender,
            body=text,
            subject=subject,
            channel=channel,
            reply_to=reply_to,
            claimable=claimable,
            priority=Priority(priority),
        )
    if json_:
        print_json(sent)
        return
    from app.cli.text import one_line

    if sent.queued:
        fate = "queued: it is delivered when that agent registers"
    elif sent.to == "human":
        fate = "for the human"
    else:
        fate = f"reached {sent.recipients} {'agent' if sent.recipients == 1 else 'agents'}"
    click.echo(f"#{sent.id} → {one_line(sent.to)}, {fate}")


@click.command()
@_for
@click.option("--all", "all_", is_flag=True, help="Those already read as well.")
@as_json
def inbox(*, identity: str | None, all_: bool, json_: bool) -> None:
    """Show what has not been read, oldest first. Looking does not mark anything as read; "read" does."""
    agent_id = whoami(identity, option="--for")
    from app.model import MessageList

    with connect(as_agent=agent_id) as client:
        found = []
        since: int | object = 0
        while isinstance(since, int):
            page = client.inbox(agent_id, unread=not all_, since_id=since, limit=500)
            found += page.messages
            since = page.next
    if json_:
        print_json(MessageList(messages=found))
        return
    from app.cli.text import block

    if not found:
        click.echo(f"{'No messages' if all_ else 'Nothing unread'} for {agent_id}.")
    for index, message in enumerate(found):
        extra = ["read"] if all_ and message.read is True else []
        click.echo(("\n" if index else "") + "\n".join(block(message, extra=extra)))


@click.command()
@_message_id
@as_json
def show(*, message_id: int, json_: bool) -> None:
    """Show a message and all that is known of it. It stays unread."""
    with connect() as client:
        message = client.get_message(message_id)
    if json_:
        print_json(message)
        return
    import msgspec

    from app.cli.text import block, json_text, local_time

    facts = [f"sent {local_time(message.created_at)}", f"thread #{message.thread_id}"]
    if message.claimed_at is not None:
        facts.append(f"claimed {local_time(message.claimed_at)}")
    if message.expires_at is not None:
        facts.append(f"expires {local_time(message.expires_at)}")
    if message.task_id is not None:
        facts.append(f"task {message.task_id}")
    extra = ["  ·  ".join(facts)]
    if message.meta:
        extra.append(f"meta {json_text(msgspec.json.encode(message.meta))}")
    click.echo("\n".join(block(message, extra=extra)))


@click.command()
@_message_id
@_for
@as_json
def read(*, message_id: int, identity: str | None, json_: bool) -> None:
    """Mark a message as read."""
    agent_id = whoami(identity, option="--for")
    with connect(as_agent=agent_id) as client:
        mark = client.read(message_id, agent_id=agent_id)
    if json_:
        print_json(mark)
    else:
        click.echo(f"#{mark.message_id} read by {agent_id}")


@click.command()
@_message_id
@as_json
def thread(*, message_id: int, json_: bool) -> None:
    """Show a message's whole conversation, oldest first."""
    from app.model import MessageList

    with connect() as client:
        found = list(client.thread(message_id))
    if json_:
        print_json(MessageList(messages=found))
        return
    from app.cli.text import block

    for index, message in enumerate(found):
        click.echo(("\n" if index else "") + "\n".join(block(message)))


@click.command()
@_message_id
@acting_as
@as_json
def claim(*, message_id: int, identity: str | None, json_: bool) -> None:
    """Claim a piece of work: a claimable message or a task. One agent gets it; for the others this fails and names who
    has it.
    """
    agent_id = whoami(identity, option="--as")
    with connect(as_agent=agent_id) as client:
        message = client.claim(message_id, agent_id=agent_id)
    if json_:
        print_json(message)
    else:
        click.echo(_with_task(f"#{message.id} claimed by {agent_id}", message))


@click.command()
@_message_id
@acting_as
@as_json
def release(*, message_id: int, identity: str | None, json_: bool) -> None:
    """Give a claim back: the work is announced again. It may be a message or a task."""
    agent_id = whoami(identity, option="--as")
    with connect(as_agent=agent_id) as client:
        message = client.release(message_id, agent_id=agent_id)
    if json_:
        print_json(message)
    else:
        click.echo(_with_task(f"#{message.id} released", message))


def _with_task(text: str, message: Message) -> str:
    """With the task's title, if the work is one: a task's id is that of its message."""
    if message.task_id is None:
        return text
    from app.cli.text import clip, one_line

    return clip(f"{text} · task: {one_line(message.subject or '')}")
