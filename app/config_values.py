"""How the text of a setting becomes a value: one function for each kind, all of ``str -> value``.

Each raises ValueError with the problem alone ("must be …"); :mod:`app.config` adds variable, source and example.
Values of secrets never get into a problem. Modules that cost start-up time are imported where they are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.parse import SplitResult

#: Ten years; anything above is a slip, and far below what dates can hold.
MAX_MS = 315_360_000_000

AGENT_ID = re.compile(r"[A-Za-z0-9._@-]{1,128}")
RESERVED_IDS = frozenset({"broadcast", "system", "human"})
THREAD_MODES = ("auto", "resume", "start")

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE
)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def shown(value: str) -> str:
    """A value as an error may print it: one line, quoted, shortened."""
    text = value if len(value) <= 60 else value[:57] + "..."
    return '"' + "".join(c if c.isprintable() else "?" for c in text) + '"'


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A whole number from ``low`` to ``high``, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {shown(text)}")
        return int(text)

    return parse


def switch(text: str) -> bool:
    """``1`` or ``0``, or the words that people use for them."""
    word = text.lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"must be 1 or 0, not {shown(text)}")


def one_of(*words: str) -> Callable[[str], str]:
    """One of the words, exactly."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of: {', '.join(words)}; not {shown(text)}")
        return text

    return parse


def word(text: str) -> str:
    """A plain value of one line: no control characters."""
    if not text.isprintable():
        raise ValueError("must not hold line breaks or control characters")
    return text


def path(text: str) -> Path:
    """A path, made absolute; ``~`` is the home folder."""
    try:
        return Path(word(text)).expanduser().absolute()
    except RuntimeError as exc:
        raise ValueError(f"cannot find the home folder that {shown(text)} names") from exc


def database_file(text: str) -> Path:
    """The path of a file, which need not exist yet."""
    if text.startswith((":memory:", "file:", "sqlite:")):
        raise ValueError(f"must be the path of a file, not {shown(text)}")
    found = path(text)
    if found.is_dir() or text.endswith(("/", "\\")):
        raise ValueError(f"must be the path of a file, but {shown(text)} is a folder")
    return found


def bind_host(text: str) -> str:
    """An IP address or host name to listen on, without port or brackets."""
    import ipaddress

    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if not _HOST_NAME.fullmatch(bare):
            raise ValueError(f"must be an IP address or host name without scheme and port, not {shown(text)}") from None
    return bare


def is_loopback(host: str) -> bool:
    """Whether a bind to this host stays on the machine. Names other than ``localhost`` are not looked up."""
    import ipaddress

    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def token(text: str) -> str:
    """A token that fits into an HTTP header as it is."""
    if not re.fullmatch(r"[\x21-\x7e]{1,1024}", text):
        raise ValueError("must be at most 1024 visible ASCII characters without spaces")
    return text


def comma_list(text: str) -> tuple[str, ...]:
    """Entries between commas, blank ones left out, in the given order, none twice."""
    return tuple(dict.fromkeys(entry for part in text.split(",") if (entry := part.strip())))


def capabilities(text: str) -> tuple[str, ...]:
    """What an agent says it can do."""
    found = comma_list(word(text))
    if any(len(entry) > 128 for entry in found) or len(found) > 64:
        raise ValueError("must be at most 64 words of at most 128 characters")
    return found


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers send them: lower case, and without the scheme's own port. ``*`` stands alone."""
    found = comma_list(text)
    if "*" in found:
        if len(found) > 1:
            raise ValueError("must be either * alone or a list of origins")
        return found
    normal = []
    for entry in found:
        match = _ORIGIN.fullmatch(entry)
        if match is None or (match[3] and int(match[3]) > 65535):
            raise ValueError(f"must be scheme://host or scheme://host:port without a path, not {shown(entry)}")
        scheme, host, port = match[1].lower(), match[2].lower(), match[3]
        suffix = f":{int(port)}" if port and port != _DEFAULT_PORTS.get(scheme) else ""
        normal.append(f"{scheme}://{host}{suffix}")
    return tuple(dict.fromkeys(normal))


def host_names(text: str) -> tuple[str, ...]:
    """Plain host names, lower case: no scheme, port, path or wildcard."""
    found = []
    for entry in comma_list(text):
        name = entry.lower().removesuffix(".")
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"must be plain host names without scheme, port or wildcard, not {shown(entry)}")
        found.append(name)
    return tuple(dict.fromkeys(found))


def relay_url(text: str) -> str:
    """The address of a relay: http or https, host and port only; a last slash is taken off."""
    parts = web_url(text)
    if parts.path not in {"", "/"} or "?" in text or "#" in text or "@" in parts.netloc:
        raise ValueError("must be http://host:port or https://host:port, without path, user or query")
    return f"{parts.scheme}://{parts.netloc}"


def app_server_url(text: str) -> str:
    """Where the launcher has Codex listen: a WebSocket on loopback."""
    match = re.fullmatch(r"ws://127\.0\.0\.1:([0-9]{1,5})/?", text)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise ValueError(f"must be ws://127.0.0.1:PORT, not {shown(text)}")
    return text.removesuffix("/")


def postgres_url(text: str) -> str:
    """A PostgreSQL address."""
    if not re.fullmatch(r"postgres(ql)?(\+psycopg)?://\S+", text):
        raise ValueError("must start with postgresql://")
    return text


def agent_id(text: str) -> str:
    """The id of an agent."""
    if not AGENT_ID.fullmatch(text) or text in RESERVED_IDS:
        raise ValueError(f"must be 1-128 of A-Z a-z 0-9 . _ @ - and not broadcast, system or human; not {shown(text)}")
    return text


def run_id(text: str) -> str:
    """The name of one launcher run; it becomes a folder's name."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", text):
        raise ValueError(f"must be 1-128 of A-Z a-z 0-9 . _ - and not start with a dot; not {shown(text)}")
    return text


def web_url(text: str) -> SplitResult:
    """An http or https address, taken apart."""
    from urllib.parse import urlsplit

    problem = "must be an http:// or https:// address"
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError(f"{problem} without spaces or special characters")
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(problem)
    return parts
