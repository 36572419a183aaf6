"""All of it, put together: what the node's process runs. Nothing is opened before something comes or is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sampan.api.types import core_v1
from sampan.http.types import Request, Response
from sampan.monitor.exposed import Exposed, service_of
from sampan.monitor.receiver import Origin, Receiver
from sampan.monitor.scrape import Connect, Scraper
from sampan.monitor.spans import Span
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.metrics import Sample

if TYPE_CHECKING:
    from sampan.api.exposition import Reading
    from sampan.monitor.series import Series
    from sampan.monitor.traces import Traces
    from sampan.monitor.visits import Visit

T = TypeVar("T")
Pods = Callable[[], Collection[core_v1.Pod]]
FORGET = 40
"""Rounds of figures between two looks at what is too old."""


class Monitor:
    """`receiver.handle` takes traces, `answer` questions, `run` reads figures and never returns; then `close`."""

    def __init__(
        self, directory: Path, pods: Pods, connect: Connect, sources: Sequence[str], *, clock: Clock | None = None
    ) -> None:
        """`sources` are the networks that traces are taken from. Files lie below `directory`."""
        self._directory = directory
        self._pods = pods
        self._clock = clock or RealClock()
        self._turn = asyncio.Lock()
        self._traces: Traces | None = None
        self._series: Series | None = None
        self._rounds = 0
        self.receiver = Receiver(self.keep, self._origin, sources)
        self.scraper = Scraper(pods, connect, self._keep_figures, self._clock)

    async def run(self) -> None:
        await self.scraper.run()

    async def keep(self, spans: Sequence[Span]) -> None:
        await self.with_traces(lambda traces: traces.add(spans))

    async def visited(self, visits: Sequence[Visit]) -> None:
        """Requests that the ingress has answered."""
        from sampan.monitor.visits import span

        await self.keep([span(visit, self._origin) for visit in visits])

    async def answer(self, request: Request, rest: Sequence[str]) -> Response:
        """GET /monitor/...: see queries."""
        from sampan.monitor import queries

        return await queries.answer(self, request, rest, self._clock.now())

    async def with_traces(self, work: Callable[[Traces], T]) -> T:
        """`work` in a thread, one at a time."""
        async with self._turn:
            return await asyncio.to_thread(lambda: work(self._opened_traces()))

    async def with_series(self, work: Callable[[Series], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(lambda: work(self._opened_series()))

    def samples(self) -> Iterator[Sample]:
        help = "Spans taken from pods."
        yield Sample("sampan_monitor_spans_total", "counter", help, {}, self.receiver.spans)
        help = "Exports of traces that were refused."
        yield Sample("sampan_monitor_refused_total", "counter", help, {}, self.receiver.refused)

    def close(self) -> None:
        for store in (self._traces, self._series):
            if store is not None:
                store.close()

    def _opened_traces(self) -> Traces:
        from sampan.monitor.traces import Traces

        if self._traces is None:
            self._traces = Traces(self._directory / "traces.db")
        return self._traces

    def _opened_series(self) -> Series:
        from sampan.monitor.series import Series

        if self._series is None:
            self._series = Series(self._directory / "series.db")
        return self._series

    async def _keep_figures(self, place: Exposed, readings: list[Reading], now: float) -> None:
        labels: Mapping[str, str] = {"namespace": place.namespace, "pod": place.pod}
        self._rounds += 1
        forget = self._rounds % FORGET == 0

        def work(series: Series) -> None:
            series.add(readings, labels, now)
            if forget:
                series.forget(now)

        await self.with_series(work)

    def _origin(self, address: str) -> Origin | None:
        for pod in self._pods():
            if pod.status.podIP == address and not pod.spec.hostNetwork:
                return Origin(pod.metadata.namespace or "", pod.metadata.name or "", service_of(pod))
        return None
