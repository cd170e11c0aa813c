"""The managed env file: ``KEY=VALUE`` lines. Reading only; it knows nothing of what the keys mean.

The format is what systemd's ``EnvironmentFile=``, Docker and shells have in common: comment lines (``#`` or ``;``),
blank lines, an optional ``export``, and values that may stand in single quotes (taken as they are) or in double quotes
(a backslash takes the meaning from a quote, a backslash, ``$`` or a backtick). A ``#`` after a value belongs to it.
"""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def read(path: Path) -> dict[str, str]:
    """The file's variables; empty if there is no such file. Where a key stands twice, the last one counts.

    :raises ValueError: says what is wrong and in which line, never with the line's text, which may be a secret.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror}") from exc
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        number = data[: exc.start].count(b"\n") + 1
        raise ValueError(f"line {number}: is not UTF-8 text") from exc
    found: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number}: must be KEY=VALUE")
        try:
            found[match[1]] = _value(match[2].strip())
        except ValueError as exc:
            raise ValueError(f"line {number}: {exc}") from None
    return found


def _value(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    quote = text[:1]
    if quote not in {"'", '"'}:
        return text
    body = r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\.)*)"'
    match = re.fullmatch(body, text)
    if match is None:
        raise ValueError(f"the quoted value must end with {quote}, and nothing may follow it")
    return match[1] if quote == "'" else re.sub(r'\\(["\\$`])', r"\1", match[1])
