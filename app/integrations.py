"""Outside systems with tokens of their own: what an integration is, its list's format, and ``integrations.json``.

The list comes from ``AGENT_RELAY_INTEGRATIONS`` and from the file, which ``agent-relay integrations`` writes and the
relay reads again when it changes. Kept free of heavy imports: settings are parsed through here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.config_values import AGENT_ID, RESERVED_IDS, one_of, shown, token, web_url, word

SCOPES = ("tasks:create", "tasks:read", "messages:send")
#: Every scope, target or channel.
ALL = ("*",)


@dataclass(frozen=True, kw_only=True)
class Integration:
    """An outside system, and what it may do."""

    name: str
    token: str = field(repr=False)
    scopes: tuple[str, ...]
    targets: tuple[str, ...]
    channels: tuple[str, ...]
    callback_url: str | None = field(default=None, repr=False)  # may hold a password
    callback_secret: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> list[str]:
        """Everything about it that must not be logged or shown."""
        from base64 import b64encode
        from urllib.parse import unquote, urlsplit

        found = [self.token, self.callback_secret or ""]
        if self.callback_url is not None:
            parts = urlsplit(self.callback_url)
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            basic = b64encode(f"{user}:{password}".encode("latin-1")).decode()
            found += [password, parts.password or "", basic if password else "", parts.query]
        return [secret for secret in found if secret]

    @property
    def shown_callback_url(self) -> str | None:
        """Where its callbacks go: the host. User, path and query may be secrets, as those of many chat hooks are."""
        from urllib.parse import urlsplit, urlunsplit

        if self.callback_url is None:
            return None
        parts = urlsplit(self.callback_url)
        path = "/…" if parts.path.strip("/") or parts.query else parts.path
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))

    def may(self, scope: str) -> bool:
        """Whether it has this scope."""
        return includes(self.scopes, scope)


def includes(allowed: tuple[str, ...], value: str | None) -> bool:
    """Whether a list of scopes, targets or channels has this one."""
    return allowed == ALL or value in allowed


def parse(text: str) -> tuple[Integration, ...]:
    """A JSON array of integrations.

    :raises ValueError: says what is wrong, and in which entry; never a secret.
    """
    import json

    try:
        data = json.loads(text, object_pairs_hook=_no_key_twice)
    except RecursionError:
        raise ValueError("is not valid JSON: nested too deeply") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not valid JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from None
    if not isinstance(data, list):
        raise ValueError("must be a JSON array of objects")
    found = tuple(_integration(entry, number) for number, entry in enumerate(data, start=1))
    check_apart(found)
    return found


def check_apart(found: Sequence[Integration]) -> None:
    """
    :raises ValueError: two have the same name or the same token.
    """
    names = [entry.name for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two integrations are named {shown(name)}")
    if len({entry.token for entry in found}) < len(found):
        raise ValueError("two integrations have the same token")


def check_shared_token(found: Sequence[Integration], *, token: str | None, token_sha256: str | None) -> None:
    """The shared token opens everything, an integration's only its scopes: one text cannot be both.

    :raises ValueError: one is.
    """
    from hashlib import sha256

    for entry in found:
        if entry.token == token or sha256(entry.token.encode()).hexdigest() == token_sha256:
            raise ValueError(f"the token of {shown(entry.name)} is the shared token; give it one of its own")


# -- the file ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[Integration, ...]:
    """The file's integrations; none where there is no file.

    :raises ValueError: says what is wrong with the file, in one line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        open_to_others = os.name == "posix" and bool(path.stat().st_mode & 0o077)
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text") from None
    except OSError as exc:
        raise ValueError(f"{path}: cannot be read: {exc.strerror}") from exc
    if open_to_others:
        raise ValueError(f"{path}: others on this machine can read or write it; mend it with: chmod 600 '{path}'")
    try:
        if not text.strip():  # as while another program is writing it: that must not look like the end of them all
            raise ValueError("is empty; for no integrations it must hold []")
        return parse(text)
    except ValueError as exc:
        raise ValueError(f"{path}: {exc}") from None


def write(path: Path, found: Sequence[Integration]) -> None:
    """Replace the file as a whole, readable by its owner alone.

    :raises OSError: as the system says it; the old file is then still there.
    """
    import json

    from app import paths

    paths.atomic_write(path, json.dumps([_as_written(entry) for entry in found], indent=2).encode() + b"\n")


def _as_written(entry: Integration) -> dict[str, object]:
    optional = {"callbackUrl": entry.callback_url, "callbackSecret": entry.callback_secret}
    return {
        "name": entry.name,
        "token": entry.token,
        "scopes": list(entry.scopes),
        "targets": list(entry.targets),
        "channels": list(entry.channels),
        **{key: value for key, value in optional.items() if value is not None},
    }


# -- one entry ---------------------------------------------------------------------------------------------------------

_REQUIRED = ("name", "token", "scopes", "targets", "channels")
_OPTIONAL = ("callbackUrl", "callbackSecret")


def name(value: object) -> str:
    """An integration's name: the ``source`` of its tasks, and who their histories name."""
    text = word(_text(value, most=128))
    if text in RESERVED_IDS:
        raise ValueError(f"must not be one of {', '.join(sorted(RESERVED_IDS))}")
    return text


def target(text: str) -> str:
    """A target that an integration may send to."""
    prefix, colon, rest = text.partition(":")
    known = prefix in {"tag", "cap", "label"} and rest if colon else AGENT_ID.fullmatch(text) and text != "system"
    if not known:
        raise ValueError(f"must be agent ids, tag:x, cap:x, label:x or broadcast, not {shown(text)}")
    return word(text)


def callback_url(value: object) -> str:
    """Where callbacks go: any http or https address that the operator chose."""
    from urllib.parse import unquote

    text = _text(value, most=2_048)
    parts = web_url(text)
    try:
        (parts.hostname or "").encode("idna")
        unquote(parts.netloc).encode("latin-1")  # as Basic authentication sends user and password
    except UnicodeError:
        raise ValueError("must name a host that can exist, and a user and password of plain characters") from None
    return text


def callback_secret(value: object) -> str:
    """What callbacks are signed with (Standard Webhooks)."""
    import base64
    import binascii

    text = _text(value, most=1_024)
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith("whsec_") or not key:
        raise ValueError("must be whsec_ followed by base64")
    return text


def entries(value: object, check: Callable[[str], str]) -> tuple[str, ...]:
    """A list of scopes, targets or channels; ``"*"`` or ``["*"]`` is all."""
    if value == "*" or value == ["*"]:
        return ALL
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list with at least one entry, or ["*"] for all')
    if "*" in value:
        raise ValueError("must be either * alone or a list without it")
    return tuple(dict.fromkeys(check(_text(entry, most=160)) for entry in value))


scope = one_of(*SCOPES)
channel = word


def _integration(data: object, number: int) -> Integration:
    where = f"entry {number}"
    if not isinstance(data, dict):
        raise ValueError(f"{where} must be an object")
    if isinstance(data.get("name"), str):
        where += f" ({shown(data['name'])})"
    unknown = [key for key in data if key not in _REQUIRED + _OPTIONAL]
    missing = [key for key in _REQUIRED if key not in data]
    if unknown:
        raise ValueError(
            f"{where} has the unknown key {shown(unknown[0])}; known are {', '.join(_REQUIRED + _OPTIONAL)}"
        )
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")

    def checked(key: str, check: Callable[[object], str]) -> str:
        try:
            return check(data[key])
        except ValueError as exc:
            raise ValueError(f"{where}: {key} {exc}") from None

    def checked_list(key: str, check: Callable[[str], str]) -> tuple[str, ...]:
        try:
            return entries(data[key], check)
        except ValueError as exc:
            raise ValueError(f"{where}: {key} {exc}") from None

    return Integration(
        name=checked("name", name),
        token=checked("token", lambda value: token(_text(value, most=1_024))),
        scopes=checked_list("scopes", scope),
        targets=checked_list("targets", target),
        channels=checked_list("channels", channel),
        callback_url=checked("callbackUrl", callback_url) if "callbackUrl" in data else None,
        callback_secret=checked("callbackSecret", callback_secret) if "callbackSecret" in data else None,
    )


def _text(value: object, *, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most or value != value.strip():
        raise ValueError(f"must be a text of 1 to {most} characters without spaces around it")
    return value


def _no_key_twice(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("has a key twice in one object")
    return found
