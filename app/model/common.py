"""What all parts of the wire share: names, limits, kinds of value, and the bases of requests and answers."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

MAX_ID = 2**63 - 1
MAX_BATCH = 1_000
MAX_BODY_BYTES = 1 << 20

#: PostgreSQL has no U+0000 in text, and no agent needs it: refused on every store, so that a bus can move.
NO_NUL = r"^[^\x00]*$"

#: Python's ``$`` also matches before a last newline; the look-ahead closes that.
AGENT_ID_PATTERN = r"^[A-Za-z0-9._@-]{1,128}$(?!\n)"
#: Everyone, as a target.
BROADCAST = "broadcast"
#: Who joins in without being registered: the person at the dashboard or a terminal.
HUMAN = "human"
#: The relay's own voice; nobody else may use it.
SYSTEM = "system"
RESERVED_IDS = frozenset({BROADCAST, SYSTEM, HUMAN})

AgentId = Annotated[
    str, Meta(pattern=AGENT_ID_PATTERN, max_length=128, description="1-128 of A-Z a-z 0-9 . _ @ -", examples=["alice"])
]
Term = Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)]
Terms = Annotated[list[Term], Meta(max_length=64)]
Target = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=160,
        pattern=NO_NUL,
        description="an agent id, tag:x, cap:x, label:x or broadcast",
        examples=["alice", "tag:backend", "broadcast"],
    ),
]
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
Cursor = Annotated[int, Meta(ge=0, le=MAX_ID)]
Limit = Annotated[int, Meta(ge=1, le=500)]
ShortText = Annotated[str, Meta(max_length=256, pattern=NO_NUL)]
Text = Annotated[str, Meta(pattern=NO_NUL)]
Instant = Annotated[str, Meta(description="RFC 3339 UTC with milliseconds", extra_json_schema={"format": "date-time"})]
JsonObject = dict[str, Any]


class Wire(Struct, kw_only=True, rename="camel"):
    """Base of everything that crosses the wire."""


class Request(Wire, forbid_unknown_fields=True):
    """A request in which an unknown key is a typo: 422."""


class TolerantRequest(Wire):
    """A request whose unknown keys are ignored and listed in the answer's ``ignored``."""


def camel_names(struct: type[Struct]) -> frozenset[str]:
    """The JSON keys that a Struct knows."""
    return frozenset(f.encode_name for f in msgspec.structs.fields(struct))


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_describing = threading.Lock()


def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder for a type of the wire. Whoever uses ``msgspec.convert`` with a type asks for this before.

    They are made one at a time: msgspec (0.22) hangs its description of a Struct on the class before it is finished,
    and a thread that meets it half done ends the process with a segmentation fault.
    """
    found = _decoders.get(kind)
    if found is None:
        with _describing:
            found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found
