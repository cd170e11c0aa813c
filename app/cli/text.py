"""Text for people: names, times and bodies, laid out, and none of it able to drive the terminal.

What agents write is untrusted: control characters, escape sequences and characters that turn the direction of text are
shown as escapes (``\\x1b``), never sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from app.model import Message, Priority

#: Joiners are unprintable too, but only shape letters and emoji.
_HARMLESS = frozenset("\u200c\u200d")
INDENT = "    "


def one_line(text: str) -> str:
    """A text on one line; line breaks become spaces, everything that is not printable becomes an escape."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")))


def lines(text: str) -> list[str]:
    """A text's lines, each safe to print; blank ones at the end are left out."""
    found = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    while found and not found[-1].strip():
        found.pop()
    return ["".join(map(_shown, line)) for line in found]


def json_text(data: bytes) -> str:
    """JSON with the same characters escaped in JSON's own way; they can only stand inside strings."""
    text = data.decode()
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or _shown(c) == c else _json_escape(c) for c in text)


def _shown(c: str) -> str:
    if c.isprintable() or c in _HARMLESS:
        return c
    if c.isspace() and c not in "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029\r\n\t":
        return " "  # no-break and other wide or narrow spaces
    return c.encode("unicode_escape").decode("ascii")


def _json_escape(c: str) -> str:
    units = c.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def width(text: str) -> int:
    """How many columns a terminal takes for it."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) or c in _HARMLESS else 1 + (east_asian_width(c) in "WF") for c in text)


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def cut(text: str, columns: int) -> str:
    """Shortened to so many columns."""
    used = 0
    for index, c in enumerate(text):
        used += width(c)
        if used > columns:
            kept = text[:index]
            while kept and width(kept) >= columns:
                kept = kept[:-1]
            return kept.rstrip() + "…"
    return text


def clip(line: str) -> str:
    """A line shortened to the terminal's width."""
    columns = terminal_columns()
    return line if columns is None else cut(line, columns)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    paint: Callable[[int, str], Mapping[str, Any]] | None = None,
) -> list[str]:
    """Rows under a header, in columns; a column in which every row is blank is left out.

    :param paint: the style of a cell, by its column and text.
    """
    wide = _widths(header, rows)
    found = [click.style("  ".join(pad(header[i], wide[i]) for i in wide).rstrip(), dim=True)]
    for row in rows:
        cells = []
        for i in wide:
            style = paint(i, row[i]) if paint is not None else None
            cells.append(click.style(pad(row[i], wide[i]), **style) if style else pad(row[i], wide[i]))
        found.append("  ".join(cells).rstrip())
    return found


def fit(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    columns: int,
    least: Sequence[tuple[int, int]],
    spare: Sequence[int],
) -> list[list[str]]:
    """Rows whose table is at most so wide, if that can be.

    :param least: which columns give way, the first first, and how much is left of each.
    :param spare: which are made blank, the first first, where that is not enough.
    """
    wide = _widths(header, rows)
    for left_out in (None, *spare):
        if left_out is not None:
            wide.pop(left_out, None)
        kept = dict(wide)
        over = sum(kept.values()) + 2 * (len(kept) - 1) - columns
        for index, least_columns in least:
            room = kept.get(index, 0) - max(least_columns, width(header[index]))
            gives = max(min(over, room), 0)
            if gives:
                kept[index] -= gives
                over -= gives
        if over <= 0:
            break
    return [[cut(cell, kept[i]) if i in kept else "" for i, cell in enumerate(row)] for row in rows]


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[int, int]:
    """How wide each column is; those that are left out are not there."""
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return {i: max(width(header[i]), *(width(row[i]) for row in rows)) for i in kept}


def ago(instant: str, *, now: datetime | None = None) -> str:
    """How long ago an instant was."""
    then = moment(instant)
    if then is None:
        return one_line(instant)
    seconds = int(((now or datetime.now(UTC)) - then).total_seconds())
    if seconds < 5:
        return "just now" if seconds > -60 else f"on {then.astimezone():%Y-%m-%d %H:%M}"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def moment(instant: str) -> datetime | None:
    """An instant of the wire; None if it is not one."""
    try:
        found = datetime.fromisoformat(instant)
    except ValueError:
        return None
    return found if found.tzinfo else None


def local_time(instant: str) -> str:
    """An instant in local time, to the second."""
    then = moment(instant)
    return one_line(instant) if then is None else f"{then.astimezone():%Y-%m-%d %H:%M:%S}"


def heading(message: Message) -> str:
    """A message's first line: id, from, to, when, and what is special about it."""
    names = f"{one_line(message.from_)} → {one_line(message.to)}"
    start = f"{click.style(f'#{message.id}', bold=True)}  {click.style(names, bold=True)}"
    return start + click.style("  ·  ".join(["", ago(message.created_at), *marks(message)]), dim=True)


def marks(message: Message) -> list[str]:
    """What is special about a message, the quietest last."""
    found = []
    if message.priority is not Priority.NORMAL:
        found.append(message.priority.value)
    if message.claimed_by is not None:
        found.append(f"claimed by {one_line(message.claimed_by)}")
    elif message.claimable:
        found.append("claimable")
    if message.channel is not None:
        found.append(f"in {one_line(message.channel)}")
    if message.reply_to is not None:
        found.append(f"reply to #{message.reply_to}")
    if not message.verified and message.kind != "system":
        found.append("unverified")
    return found


def block(message: Message, *, extra: Sequence[str] = ()) -> list[str]:
    """A whole message. Its text is indented, so that it cannot pass for a heading of ours."""
    found = [heading(message), *(INDENT + click.style(line, dim=True) for line in extra)]
    if message.subject:
        found.append(INDENT + click.style(one_line(message.subject), bold=True))
    return found + [(INDENT + line).rstrip() for line in lines(message.body)]


def terminal_columns() -> int | None:
    """The terminal's width; None where the output goes elsewhere and must not be cut."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns
