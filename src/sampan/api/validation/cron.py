"""The grammar of CronJob schedules: five fields of standard cron, or a descriptor such as `@daily`."""

from __future__ import annotations

import re
from functools import lru_cache

_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_EVERY = re.compile(r"@every (\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+\Z")


@lru_cache(maxsize=256)
def problem(text: str) -> str:
    """What is wrong with a standard cron schedule of five fields; nothing when it is fine."""
    if text.startswith("@"):
        return "" if text in _MACROS or _EVERY.match(text) else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for (name, low, high), field in zip(_FIELDS, fields, strict=True):
        for part in field.split(","):
            if found := _part_problem(part, name, low, high):
                return found
    return ""


def _part_problem(part: str, name: str, low: int, high: int) -> str:
    body, slash, step = part.partition("/")
    if slash and (not step.isdecimal() or not step.isascii() or int(step[:9]) == 0):
        return (
            f"failed to parse int from {step}" if not step.isdecimal() else "step of range should be a positive number"
        )
    if body in ("*", "?"):
        return ""
    numbers = [_cron_number(word, name) for word in body.split("-")]
    if len(numbers) > 2:
        return f"too many hyphens: {part}"
    for number in numbers:
        if number is None:
            return f"failed to parse int from {body}"
    start, end = numbers[0] or 0, numbers[-1] or 0
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    return f"beginning of range ({start}) beyond end of range ({end}): {part}" if start > end else ""


def _cron_number(word: str, name: str) -> int | None:
    if word.isascii() and word.isdecimal():
        return int(word[:9])
    if name == "month" and word.lower() in _MONTHS:
        return _MONTHS.index(word.lower()) + 1
    if name == "day of week" and word.lower() in _DAYS:
        return _DAYS.index(word.lower())
    return None
