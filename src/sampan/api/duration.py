"""Durations for people, as kubectl prints them, and times as the API writes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def human(seconds: float) -> str:
    """About three characters of precision: `45s`, `3m20s`, `15m`, `5h30m`, `30h`, `3d4h`, `90d`, `2y40d`."""
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    whole = int(seconds)
    if whole < 2 * MINUTE:
        return f"{whole}s"
    if whole < 10 * MINUTE:
        return _two(whole, MINUTE, "m", 1, "s")
    if whole < 3 * HOUR:
        return f"{whole // MINUTE}m"
    if whole < 8 * HOUR:
        return _two(whole, HOUR, "h", MINUTE, "m")
    if whole < 2 * DAY:
        return f"{whole // HOUR}h"
    if whole < 8 * DAY:
        return _two(whole, DAY, "d", HOUR, "h")
    if whole < 2 * YEAR:
        return f"{whole // DAY}d"
    if whole < 8 * YEAR:
        return _two(whole, YEAR, "y", DAY, "d")
    return f"{whole // YEAR}y"


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    return f"{whole // large}{large_name}" + (f"{rest}{small_name}" if rest else "")


def since(timestamp: str | None, now: float) -> str:
    """The age of an API time at Unix time `now`; `<unknown>` when there is none."""
    if not timestamp:
        return "<unknown>"
    return human(now - unix(timestamp))


def unix(timestamp: str) -> float:
    """An API time (RFC 3339) in Unix seconds. Raises ValueError."""
    return datetime.fromisoformat(timestamp).timestamp()


def rfc3339(moment: float | None = None) -> str:
    """A Unix time (now when None) as metav1.Time: UTC, seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def rfc3339_micro(moment: float | None = None) -> str:
    """A Unix time (now when None) as metav1.MicroTime: UTC, microseconds."""
    at = time.time() if moment is None else moment
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
