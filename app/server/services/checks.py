"""What several services check of what they are given."""

from __future__ import annotations

from typing import Any

from app.errors import Invalid

#: Deeper JSON is refused where it comes in: encoding it again, on a fuller stack, could fail for everyone in a group.
MAX_DEPTH = 64


def check_depth(value: Any, *, field: str) -> None:
    """
    :raises Invalid: it is nested too deeply.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise Invalid.field(field, f"is nested too deeply: {MAX_DEPTH} levels at most")
