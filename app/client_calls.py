"""What the client's calls have in common: requests from Structs, answers into Structs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct

from app.client_http import BadAnswer, Caller, Query
from app.model import decoder_of

T = TypeVar("T")

#: The largest page.
PAGE = 500


class Calls:
    """Base of the groups of calls; :class:`app.client.RelayClient` sets the caller."""

    _caller: Caller

    def _get(self, path: str, answer: type[T], *, query: Query | None = None) -> T:
        return self._decode(self._caller.call("GET", path, query=query), answer)

    def _post(
        self,
        path: str,
        answer: type[T],
        *,
        body: Struct | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> T:
        return self._call("POST", path, answer, body=body, headers=headers, repeatable=repeatable)

    def _call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: Struct | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> T:
        data = None if body is None else msgspec.json.encode(compact(body))
        return self._decode(self._caller.call(method, path, body=data, headers=headers, repeatable=repeatable), answer)

    def _decode(self, data: bytes, answer: type[T]) -> T:
        try:
            found: T = decoder_of(answer).decode(data)
            return found
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BadAnswer(f"{self._caller.url} answered what this version does not understand: {exc}") from exc


def compact(request: Struct) -> dict[str, Any]:
    """What a request says beyond the defaults: an older relay refuses keys that it does not know."""
    found: dict[str, Any] = {}
    for field in _fields(type(request)):
        value = getattr(request, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if value is not UNSET and value != default:
            found[field.encode_name] = value
    return found


@cache
def _fields(kind: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Asked for once: working them out takes longer than all the rest of a message in a batch."""
    return msgspec.structs.fields(kind)
