"""Commands about agents."""

from __future__ import annotations

import click

from app.cli.session import as_json, connect, print_json


@click.command()
@as_json
def agents(*, json_: bool) -> None:
    """List the agents."""
    from app.model import AgentList

    with connect() as client:
        found = list(client.list_agents())
    if json_:
        print_json(AgentList(agents=found))
        return
    from app.cli.text import ago, one_line, table

    if not found:
        click.echo("No agent is registered.")
        return
    rows = [
        (
            one_line(card.id),
            card.status.value + ("" if card.ready else ", not ready"),
            str(card.unread or ""),
            ", ".join(map(one_line, card.labels)),
            ", ".join(map(one_line, card.tags)),
            ", ".join(map(one_line, card.capabilities)),
            ago(card.last_seen_at),
        )
        for card in found
    ]
    for line in table(("AGENT", "STATUS", "UNREAD", "LABELS", "TAGS", "CAPABILITIES", "SEEN"), rows):
        click.echo(line)


@click.command()
@click.argument("agent_id", metavar="AGENT")
@click.argument("name", metavar="NAME")
@as_json
def label(*, agent_id: str, name: str, json_: bool) -> None:
    """Give an agent a label, beside those that it has. Messages reach it as label:NAME."""
    with connect() as client:
        card = client.get_agent(agent_id)
        if name not in card.labels:
            card = client.patch_agent(agent_id, labels=[*card.labels, name])
    if json_:
        print_json(card)
        return
    from app.cli.text import one_line

    click.echo(f"{one_line(card.id)}: {', '.join(map(one_line, card.labels))}")
