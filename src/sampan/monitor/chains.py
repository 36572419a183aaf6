"""Call chains, the service map, and a trace as text. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from sampan.monitor.spans import PEER, Span

WIDTH = 100
BAR = 32


class Call(Struct, frozen=True):
    """A span at its depth in the chain; `lost` when it names a parent that is not there."""

    span: Span
    depth: int
    lost: bool = False


class Summary(Struct, frozen=True, kw_only=True):
    """A trace in a line. `start` is Unix, `duration` nanoseconds."""

    trace: str
    name: str
    service: str
    start: int
    duration: int
    spans: int
    services: tuple[str, ...]
    errors: int


class Edge(Struct, frozen=True, kw_only=True):
    """Calls of one service to another, or to what sends no spans itself (a database). Times are nanoseconds."""

    caller: str
    callee: str
    calls: int
    errors: int
    median: int
    slow: int
    """What 95 of 100 calls do not exceed."""


def chain(spans: Iterable[Span]) -> tuple[Call, ...]:
    """Every span once, each below what called it, in the order of their beginnings."""
    ordered = sorted({span.span: span for span in spans}.values(), key=lambda span: (span.start, -span.duration))
    known = {span.span for span in ordered}
    below: dict[str, list[Span]] = defaultdict(list)
    for span in ordered:
        below[span.parent if span.parent in known and span.parent != span.span else ""].append(span)
    found: list[Call] = []
    seen: set[str] = set()

    def walk(first: Iterable[Span]) -> None:
        waiting = [(span, 0) for span in reversed(list(first))]
        while waiting:
            span, depth = waiting.pop()
            if span.span in seen:
                continue
            seen.add(span.span)
            found.append(Call(span, depth, bool(span.parent) and span.parent not in known))
            waiting += [(each, depth + 1) for each in reversed(below[span.span])]

    walk(below[""])
    # Spans that are each other's parents hang on nothing.
    walk(span for span in ordered if span.span not in seen)
    return tuple(found)


def summary(spans: Sequence[Span]) -> Summary:
    """Of the spans of one trace; at least one."""
    calls = chain(spans)
    root = calls[0].span
    start = min(span.start for span in spans)
    return Summary(
        trace=root.trace,
        name=root.name,
        service=root.service,
        start=start,
        duration=max(span.end for span in spans) - start,
        spans=len(calls),
        services=tuple(dict.fromkeys(call.span.service for call in calls)),
        errors=sum(call.span.error for call in calls),
    )


# --- the service map ---


def service_map(spans: Iterable[Span]) -> tuple[Edge, ...]:
    by_id = {(span.trace, span.span): span for span in spans}
    answered = {(span.trace, span.parent) for span in by_id.values()}
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    errors: dict[tuple[str, str], int] = defaultdict(int)
    for span in by_id.values():
        for edge in _edges(span, by_id.get((span.trace, span.parent)), (span.trace, span.span) in answered):
            times[edge].append(span.duration)
            errors[edge] += span.error
    return tuple(
        Edge(
            caller=edge[0],
            callee=edge[1],
            calls=len(took),
            errors=errors[edge],
            median=_quantile(took, 0.5),
            slow=_quantile(took, 0.95),
        )
        for edge, took in sorted(times.items())
    )


def _edges(span: Span, parent: Span | None, answered: bool) -> Iterator[tuple[str, str]]:
    """Who called it, and whom it called when nothing else tells of that."""
    if parent is not None and parent.service != span.service:
        yield (parent.service, span.service)
    elif not span.parent and span.kind in ("server", "consumer"):
        yield ("", span.service)
    if answered:
        return
    calls = span.kind in ("client", "producer")
    name = peer(span.attributes) if calls else span.attributes.get(PEER, "") if span.kind == "server" else ""
    if name:
        yield (span.service, name)


def peer(attributes: Mapping[str, str]) -> str:
    """What a call went to that sends no spans: `mariadb guestbook`, `redis`, a host."""
    system = attributes.get("db.system.name") or attributes.get("db.system") or attributes.get("messaging.system")
    name = attributes.get("db.namespace") or attributes.get("db.name") or attributes.get("messaging.destination.name")
    if system:
        return f"{system} {name}" if name else system
    for key in (PEER, "server.address", "net.peer.name", "http.host"):
        if attributes.get(key):
            return attributes[key]
    return ""


def _quantile(values: Iterable[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- text ---


def waterfall(spans: Sequence[Span], width: int = WIDTH) -> list[str]:
    """A line a span: who, what, when in the course of the trace, how long; below it what failed."""
    if not spans:
        return []
    told, calls = summary(spans), chain(spans)
    left = [f"{'  ' * call.depth}{call.span.service or '?'}  {_what(call.span)}" for call in calls]
    room = max(24, width - BAR - 12)
    column = min(room, max(map(len, left)))
    lines = []
    for call, text in zip(calls, left, strict=True):
        span = call.span
        shown = text if len(text) <= column else f"{text[: column - 1]}…"
        mark = "!" if span.error else " "
        bar = _bar(span.start - told.start, span.duration, told.duration, "x" if span.error else "=")
        lines.append(f"{shown:<{column}} {mark}|{bar}| {duration(span.duration):>8}")
        indent = "  " * (call.depth + 1)
        if span.message:
            lines.append(f"{indent}! {span.message}"[:width])
        if span.error:
            lines += [f"{indent}! {event}"[:width] for event in span.events if event not in (span.message, "")]
        if call.lost:
            lines.append(f"{indent}(what called it sent no span)")
    return lines


def _what(span: Span) -> str:
    """SQL tells more than `SELECT`."""
    statement = span.attributes.get("db.query.text") or span.attributes.get("db.statement")
    return " ".join(statement.split()) if statement else span.name or span.kind


def _bar(offset: int, length: int, whole: int, sign: str) -> str:
    whole = max(1, whole)
    start = min(BAR - 1, max(0, offset * BAR // whole))
    end = min(BAR, max(start + 1, -(-(offset + length) * BAR // whole)))
    return " " * start + sign * (end - start) + " " * (BAR - end)


def duration(nanoseconds: int) -> str:
    """`12.3 ms`, `1.20 s`, `45 us`."""
    if nanoseconds >= 1_000_000_000:
        return f"{nanoseconds / 1e9:.2f} s"
    if nanoseconds >= 1_000_000:
        return f"{nanoseconds / 1e6:.1f} ms"
    return f"{nanoseconds / 1e3:.0f} us"
