"""Commands about tasks: look, watch, and say how the work goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import UNSET, UnsetType

from app.cli.session import acting_as, as_json, connect, print_json, standard_input, whoami
from app.model import ACTIVE, HUMAN, TaskStatus

if TYPE_CHECKING:
    from app.client import RelayClient
    from app.client_live import LiveEvent
    from app.errors import StatusConflict
    from app.model import Task, TaskEvent

_task_id = click.argument("task_id", metavar="ID", type=click.IntRange(1))
_result_option = click.option(
    "--result", metavar="TEXT|-", help="What came of it: text, or a JSON object or array; - reads standard input."
)
_note_option = click.option("--note", metavar="TEXT", help="A word for the task's history.")


def _checked_statuses(
    _ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]
) -> frozenset[TaskStatus] | None:
    from app.config_values import comma_list, shown

    words = comma_list(",".join(value))
    unknown = [word for word in words if word not in set(TaskStatus)]
    if unknown:
        raise click.BadParameter(f"must be one of {', '.join(TaskStatus)}; not {shown(unknown[0])}")
    return frozenset(map(TaskStatus, words)) or None


@click.command()
@click.option("--watch", "watch_", is_flag=True, help="Then show what happens to tasks, live, until Ctrl-C.")
@click.option("--all", "all_", is_flag=True, help="Closed ones as well.")
@click.option(
    "--status",
    "statuses",
    metavar="S",
    multiple=True,
    callback=_checked_statuses,
    help=f"Only these: {', '.join(TaskStatus)}; may be repeated, or with commas between.",
)
@click.option("--source", metavar="NAME", help="Only those that this integration made.")
@click.option("--target", metavar="TARGET", help="Only those for this target.")
@as_json
def tasks(
    *,
    watch_: bool,
    all_: bool,
    statuses: frozenset[TaskStatus] | None,
    source: str | None,
    target: str | None,
    json_: bool,
) -> None:
    """List the tasks that are not closed, newest first.

    With --watch and --json it prints no list, but one line of JSON for each event. --source, --target and --status
    choose among what happens too; without --status that is everything, so that a task's end is seen.
    """
    if all_ and statuses:
        raise click.UsageError("Give --all or --status, not both.")
    with connect() as client:
        # Before the list is fetched, so that nothing happens unseen between the two.
        since = client.stats().event_seq if watch_ else None
        if not (watch_ and json_):
            wanted = statuses if statuses is not None else None if all_ else ACTIVE
            _print_list(_fetch(client, wanted, source=source, target=target), wanted, json_=json_)
        if watch_:
            _watch(client, since=since, statuses=statuses, source=source, target=target, json_=json_)


def _fetch(
    client: RelayClient, statuses: frozenset[TaskStatus] | None, *, source: str | None, target: str | None
) -> list[Task]:
    """All of them, page by page."""
    found: list[Task] = []
    before: int | None | UnsetType = None
    while not isinstance(before, UnsetType):
        page = client.list_tasks(status=statuses, source=source, target=target, before=before, limit=500)
        found += page.tasks
        before = page.next
    return found


def _print_list(found: Sequence[Task], wanted: frozenset[TaskStatus] | None, *, json_: bool) -> None:
    if json_:
        from app.model import TaskList

        print_json(TaskList(tasks=list(found)))
        return
    from app.cli.tasktext import task_table

    if not found:
        click.echo("No active tasks." if wanted == ACTIVE else "No tasks.")
        return
    click.echo("\n".join(task_table(found)))


def _watch(
    client: RelayClient,
    *,
    since: int | None,
    statuses: frozenset[TaskStatus] | None,
    source: str | None,
    target: str | None,
    json_: bool,
) -> None:
    from app.cli.watch import follow, laid_out

    def wanted(event: LiveEvent) -> bool:
        if event.event == "reset":
            return True
        data = event.data
        return (
            event.event.startswith("task.")
            and isinstance(data, dict)
            and (source is None or data.get("source") == source)
            and (target is None or data.get("target") == target)
            and (statuses is None or data.get("status") in statuses)
        )

    def line(event: LiveEvent) -> str:
        from app.cli.tasktext import told_of_task

        if event.event == "reset":
            return laid_out(event, "some events were missed while away; agent-relay tasks shows how things stand", "")
        return laid_out(event, *told_of_task(event.event, event.data))

    if not json_:
        click.echo(click.style("-- live, Ctrl-C ends --", dim=True))
    follow(client, since=since, json_=json_, wanted=wanted, line=line)


@click.command()
@_task_id
@click.option("--json", "json_", is_flag=True, help='Print {"task": …, "events": […]}, as the relay has them.')
def task(*, task_id: int, json_: bool) -> None:
    """Show a task, all that is known of it, and its history. Its message, and its thread, have the same ID."""
    with connect() as client:
        found = client.get_task(task_id)
        events: list[TaskEvent] = list(client.task_history(task_id))
    if json_:
        print_json({"task": found, "events": events})
        return
    from app.cli.tasktext import whole_task

    click.echo("\n".join(whole_task(found, events)))


@click.command()
@_task_id
@_result_option
@_note_option
@acting_as
@as_json
def done(*, task_id: int, result: str | None, note: str | None, identity: str | None, json_: bool) -> None:
    """Close a task: its work is done."""
    _move(task_id, TaskStatus.DONE, result=result, note=note, identity=identity, json_=json_)


@click.command()
@_task_id
@_result_option
@_note_option
@acting_as
@as_json
def fail(*, task_id: int, result: str | None, note: str | None, identity: str | None, json_: bool) -> None:
    """Close a task: its work could not be done."""
    _move(task_id, TaskStatus.FAILED, result=result, note=note, identity=identity, json_=json_)


@click.command()
@_task_id
@click.argument("percent", metavar="N", type=click.IntRange(0, 100))
@_note_option
@acting_as
@as_json
def progress(*, task_id: int, percent: int, note: str | None, identity: str | None, json_: bool) -> None:
    """Say how far a task is, from 0 to 100. One that was claimed or blocked is then in progress."""
    _move(task_id, TaskStatus.IN_PROGRESS, progress=percent, note=note, identity=identity, json_=json_)


def _move(
    task_id: int,
    status: TaskStatus,
    *,
    result: str | None = None,
    progress: int | UnsetType = UNSET,
    note: str | None,
    identity: str | None,
    json_: bool,
) -> None:
    from app.errors import StatusConflict

    who = whoami(identity, option="--as", body_on_stdin=result == "-")
    given = UNSET if result is None else _as_result(standard_input() if result == "-" else result)
    with connect(as_agent=who) as client:
        try:
            moved = client.set_task_status(
                task_id,
                status=status,
                agent_id=None if who == HUMAN else who,
                result=given,
                progress=progress,
                note=note or None,
            )
        except StatusConflict as exc:
            raise StatusConflict(_explain(exc, task_id), **exc.extras) from exc
    if json_:
        print_json(moved)
        return
    from app.cli.tasktext import said

    click.echo(said(moved))


def _as_result(text: str) -> Any:
    """JSON only where nobody can have meant text: ``12`` and ``null`` are words too."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass
    return text


def _explain(exc: StatusConflict, task_id: int) -> str:
    """The relay speaks of its own calls; here the way is a command."""
    here = exc.extras.get("taskStatus")
    if here == TaskStatus.OPEN:
        return f"Task {task_id} is open: nobody has it. Take it first: agent-relay claim {task_id}"
    if here in set(TaskStatus) - ACTIVE:
        return f"Task {task_id} is {here} already, and stays so."
    return exc.detail
