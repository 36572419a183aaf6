"""Numbers that may be percentages (IntOrString)."""

from __future__ import annotations

import math


def share(value: int | str | None, total: int, *, up: bool) -> int:
    """`3`, or `25%` of the total, rounded up or down; nothing is 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    part = int(value.removesuffix("%")) * total / 100
    return math.ceil(part) if up else math.floor(part)
