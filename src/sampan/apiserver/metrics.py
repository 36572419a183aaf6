"""The API server's metrics in Prometheus' text format, under upstream's names."""

from __future__ import annotations

import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 60.0)
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")

Key = tuple[str, str, str, str, str, str]


class Metrics:
    """Counts requests; `gauges` are read when somebody asks."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._requests: dict[tuple[Key, int], int] = {}
        self._durations: dict[Key, list[float]] = {}
        self._gauges: list[tuple[str, str, Callable[[], Iterable[tuple[str, float]]]]] = []
        self._started = clock()
        self.inflight = {"mutating": 0, "readOnly": 0}

    def gauge(self, name: str, help: str, read: Callable[[], Iterable[tuple[str, float]]]) -> None:
        """`read` yields (labels in braces or "", value)."""
        self._gauges.append((name, help, read))

    def count(self, key: Key, code: int, seconds: float) -> None:
        pair = (key, code)
        self._requests[pair] = self._requests.get(pair, 0) + 1
        row = self._durations.get(key)
        if row is None:
            row = self._durations[key] = [0.0] * (len(BUCKETS) + 2)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[-1] += seconds

    def expose(self) -> bytes:
        return ("\n".join(self._lines()) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        yield from _head("apiserver_request_total", "counter", "Requests by verb, resource and HTTP code.")
        for (key, code), total_requests in sorted(self._requests.items()):
            yield f'apiserver_request_total{{{_labels(key)},code="{code}"}} {total_requests}'
        name = "apiserver_request_duration_seconds"
        yield from _head(name, "histogram", "How long requests took, in seconds; watches do not count.")
        for key, row in sorted(self._durations.items()):
            labels, total = _labels(key), 0.0
            for bound, number in zip((*BUCKETS, "+Inf"), row, strict=False):
                total += number
                yield f'{name}_bucket{{{labels},le="{bound}"}} {total:g}'
            yield f"{name}_sum{{{labels}}} {row[-1]:.6f}"
            yield f"{name}_count{{{labels}}} {total:g}"
        yield from _head("apiserver_current_inflight_requests", "gauge", "Requests being worked on.")
        for kind, waiting in self.inflight.items():
            yield f'apiserver_current_inflight_requests{{request_kind="{kind}"}} {waiting}'
        for gauge, help, read in self._gauges:
            yield from _head(gauge, "gauge", help)
            for labels, value in read():
                yield f"{gauge}{labels} {value:g}"
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield from _head("process_cpu_seconds_total", "counter", "Processor time of this process in seconds.")
        yield f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.3f}"
        yield from _head("process_resident_memory_bytes", "gauge", "Resident memory of this process.")
        yield f"process_resident_memory_bytes {_resident()}"
        yield from _head("process_start_time_seconds", "gauge", "When this process started, in Unix seconds.")
        yield f"process_start_time_seconds {self._started:.3f}"


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _head(name: str, type: str, help: str) -> tuple[str, str]:
    return f"# HELP {name} {help}", f"# TYPE {name} {type}"


def _labels(key: Key) -> str:
    return ",".join(f'{name}="{value}"' for name, value in zip(_LABELS, key, strict=True))
