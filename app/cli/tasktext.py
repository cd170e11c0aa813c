"""Tasks as text: the table, one whole task with its history, and one line of what happens to it.

Titles, notes and results come from outside; all of it passes through :mod:`app.cli.text`, like everything that others
write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from app.cli.text import INDENT, ago, clip, fit, json_text, lines, local_time, one_line, table, terminal_columns
from app.model import Severity, Task, TaskEvent, TaskStatus

_HEADER = ("ID", "STATUS", "SEVERITY", "TITLE", "SOURCE", "TARGET/BY", "COUNT", "AGE")
_SEVERITY, _TITLE, _SOURCE, _WHO, _COUNT, _AGE = range(2, 8)
#: What gives way where the terminal is narrow, and how much of it stays; and what is left out where that is not enough.
_LEAST = ((_WHO, 24), (_TITLE, 28), (_WHO, 10), (_TITLE, 12))
_SPARE = (_SOURCE, _COUNT, _AGE)
#: The mildest two go without: what stands out is what is bad.
_COLOURS: Mapping[str, Mapping[str, Any]] = {
    Severity.CRITICAL: {"fg": "red", "bold": True},
    Severity.ERROR: {"fg": "red"},
}
_SHORT_JSON_BYTES = 80
#: How wide the names of a task's fields are.
_NAMES_WIDTH = 12


def task_table(tasks: Sequence[Task]) -> list[str]:
    """Tasks in columns, within the terminal's width."""
    rows: list[Sequence[str]] = [_row(task) for task in tasks]
    columns = terminal_columns()
    if columns is not None:
        rows = list(fit(_HEADER, rows, columns=columns, least=_LEAST, spare=_SPARE))
    return table(_HEADER, rows, paint=lambda index, cell: _COLOURS.get(cell, {}) if index == _SEVERITY else {})


def _row(task: Task) -> Sequence[str]:
    return (
        f"#{task.id}",
        standing(task.status, task.progress),
        task.severity.value,
        one_line(task.title),
        one_line(task.source),
        f"by {one_line(task.claimed_by)}" if task.claimed_by is not None else one_line(task.target),
        f"×{task.occurrence_count}" if task.occurrence_count > 1 else "",
        "now" if (age := ago(task.created_at)) == "just now" else age.removesuffix(" ago"),
    )


def standing(status: str, progress: object) -> str:
    """Where a task stands."""
    shown = one_line(str(status))
    return f"{shown} {progress}%" if progress is not None and status not in {"open", "done"} else shown


def said(task: Task) -> str:
    """The one line after a change."""
    return clip(f"#{task.id} {standing(task.status, task.progress)} · {one_line(task.title)}")


# -- one task ----------------------------------------------------------------------------------------------------------


def whole_task(task: Task, events: Sequence[TaskEvent]) -> list[str]:
    """Everything of a task. Whatever others wrote stands further in than our own words, so that it cannot pass for
    them."""
    severity = click.style(task.severity.value, **_COLOURS.get(task.severity, {}))
    facts = [severity, standing(task.status, task.progress)]
    if task.claimed_by is not None:
        facts.append(f"{'held' if task.closed_at is None else 'was held'} by {one_line(task.claimed_by)}")
    if task.occurrence_count > 1:
        facts.append(f"seen {task.occurrence_count} times")
    found = [click.style(f"#{task.id}  {one_line(task.title)}", bold=True), INDENT + "  ·  ".join(facts), ""]
    found += _field("source", f"{one_line(task.source)}  ·  {one_line(task.type)}")
    found += _field("target", f"{one_line(task.target)}  ·  in {one_line(task.channel)}")
    if task.external_url is not None:
        found += _field("link", one_line(task.external_url))
    if task.dedupe_key is not None:
        found += _field("dedupe key", one_line(task.dedupe_key))
    found += _field("created", f"{local_time(task.created_at)}  ·  {ago(task.created_at)}")
    if task.occurrence_count > 1:
        found += _field("last seen", f"{local_time(task.last_seen_at)}  ·  {ago(task.last_seen_at)}")
    if task.closed_at is not None:
        found += _field("closed", f"{local_time(task.closed_at)}  ·  {ago(task.closed_at)}")
    if task.metadata:
        found += _field("metadata", *_json(task.metadata))
    if task.body:
        found += _field("body", *lines(task.body))
    if task.result is not None:
        found += _field("result", *(lines(task.result) if isinstance(task.result, str) else _json(task.result)))
    return found + _field("history", *_history(events))


def _field(name: str, *texts: str) -> list[str]:
    first = INDENT + click.style(f"{name:{_NAMES_WIDTH}}", dim=True)
    further = INDENT + " " * _NAMES_WIDTH
    return [((further if index else first) + text).rstrip() for index, text in enumerate(texts or ("",))]


def _json(value: object) -> list[str]:
    """On one line where it is short."""
    data = msgspec.json.encode(value)
    return json_text(data if len(data) <= _SHORT_JSON_BYTES else msgspec.json.format(data, indent=2)).split("\n")


def _history(events: Sequence[TaskEvent]) -> list[str]:
    found: list[str] = []
    before: TaskEvent | None = None
    for event in events:
        found.append(click.style(local_time(event.at), dim=True) + f"  {_moment(event, before)}")
        if event.note is not None:
            found += [INDENT + line for line in lines(event.note)]
        before = event
    return found


def _moment(event: TaskEvent, before: TaskEvent | None) -> str:
    """What happened, seen against how the task stood before."""
    by = f"by {one_line(event.by)}"
    stands = standing(event.status, event.progress)
    match event.event:
        case "task.created":
            return f"created {by}"
        case "task.claimed":
            return f"claimed {by}"
        case "task.status" if event.status is TaskStatus.OPEN:
            return f"released {by}"
        case "task.status" if event.occurrence is not None:
            return f"{stands}: resolved {by}"
        case "task.status":
            return f"{stands} {by}"
        case "task.updated" if event.occurrence is not None:
            worse = "" if before is None or before.severity is event.severity else f", now {event.severity.value}"
            return f"seen again {by}, ×{event.occurrence_count}{worse}"
        case "task.updated" if before is not None and before.progress != event.progress:
            return f"{stands} {by}"
        case "task.updated" if before is not None and before.result != event.result:
            return f"result {by}"
        case "task.updated":
            return f"note {by}"
        case other:
            return f"{one_line(other)} {by}"


# -- what happens ------------------------------------------------------------------------------------------------------


def told_of_task(event: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """A task's event in the making: which task and what of it, and the title."""

    def text(name: str) -> str:
        return one_line(str(data.get(name)))

    title = text("title")
    stands = standing(str(data.get("status")), data.get("progress"))
    match event:
        case "task.created":
            what, title = f"new for {text('target')}", f"[{text('severity')}, from {text('source')}] {title}"
        case "task.claimed":
            what = f"claimed by {text('claimedBy')}"
        case "task.status":
            what = "open again" if stands == "open" else stands
        case "task.updated" if data.get("updatedAt") == data.get("lastSeenAt"):
            # Only one more occurrence sets both at once.
            what = f"seen again, ×{data.get('occurrenceCount')}"
        case "task.updated":
            what = stands
        case other:
            what = one_line(other)
    return f"#{data.get('id')}  {what}", title


def told_of_callback(data: Mapping[str, Any]) -> tuple[str, str]:
    """An attempt of a callback: which, and what came of it."""
    attempts = data.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts and isinstance(attempts[-1], dict) else {}
    what = f"callback {one_line(str(data.get('event')))} of #{data.get('taskId')}"
    outcome = last.get("error") or f"answered {last.get('status')}"
    fate = {"delivered": "", "dead": "; given up"}.get(str(data.get("state")), "; will be tried again")
    return what, f"{one_line(str(data.get('integration')))}: {one_line(str(outcome))}{fate}"
