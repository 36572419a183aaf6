"""When a CronJob is due: five fields of cron, or a descriptor such as `@daily` or `@every 1h30m`. Pure.

Source: cron(5); Kubernetes' documentation of CronJob schedules. Day of month and day of week are both looked at when
either is `*`; when both are restricted, either suffices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: at for at, name in enumerate(_NAMES, 1)}
DAYS = {name: at for at, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, MONTHS),
    (0, 6, DAYS),
)

HORIZON = timedelta(days=5 * 366)
"""A schedule without a time within five years (30th of February) has none."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


@dataclass(frozen=True, slots=True)
class Schedule:
    """`after` gives the next time. `every` seconds if it is an interval; otherwise the five fields."""

    zone: tzinfo
    every: float = 0.0
    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False
    """Day of month and day of week are both restricted."""

    def after(self, seconds: float) -> float | None:
        """Unix seconds of the first time later than `seconds`; None when there is none."""
        if self.every:
            return float(int(seconds)) + self.every
        at = datetime.fromtimestamp(int(seconds) // 60 * 60, UTC) + timedelta(minutes=1)
        end = at + HORIZON
        while at < end:
            local = at.astimezone(self.zone)
            if local.month not in self.months or not self._is_day(local):
                at = _later(at, local.replace(hour=0, minute=0, fold=0) + timedelta(days=1))
            elif local.hour not in self.hours:
                at += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                at += timedelta(minutes=1)
            else:
                return at.timestamp()
        return None

    def _is_day(self, local: datetime) -> bool:
        of_month, of_week = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week


def _later(at: datetime, local: datetime) -> datetime:
    """The instant of a local midnight, which a change of clocks may move; always later than `at`."""
    found = local.astimezone(UTC)
    return found if found > at else at + timedelta(hours=1)


def parse(text: str, zone: str | None = None) -> Schedule:
    """Raises ValueError with the reason, and KeyError (ZoneInfoNotFoundError) for an unknown zone."""
    where: tzinfo = ZoneInfo(zone) if zone else UTC
    text = text.strip()
    if text.startswith("@every "):
        return Schedule(where, every=max(1.0, float(int(_duration(text[7:].strip())))))
    fields = DESCRIPTORS.get(text, text).split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{text}]")
    minutes, hours, days, months, weekdays = (
        _field(each, *bounds) for each, bounds in zip(fields, BOUNDS, strict=True)
    )
    restricted = not fields[2].startswith(("*", "?")) and not fields[4].startswith(("*", "?"))
    return Schedule(where, 0.0, minutes, hours, days, months, weekdays, either_day=restricted)


def _duration(text: str) -> float:
    found = _DURATION.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(f"failed to parse duration @every {text}")
    return sum(float(number) * _UNITS[unit] for number, unit in found)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span in ("*", "?"):
            first, last = low, high
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, names)
            last = _number(end, names) if dash else (high if step else first)
        width = int(step) if step else 1
        if not low <= first <= last <= high or width < 1:
            raise ValueError(f"{part}: not within {low}-{high}")
        values.update(range(first, last + 1, width))
    return frozenset(values)


def _number(text: str, names: dict[str, int]) -> int:
    found = names.get(text.lower())
    return int(text) if found is None else found
