"""When probes run and what their outcomes mean. Each probe is one timer of the loop and at most one attempt under way.

                 first success                     verdict False (liveness, startup)
    quick ----------------------> regular -------------------------------------------> held until `stop`
      misses between two counted ones leave no trace

A readiness or startup probe looks again soon after a miss: after 10 ms, then half as long again each time, up to
its period (a command after 50 ms, then twice as long). Only one miss a period counts, so that thresholds mean what
they mean elsewhere, and none in the first period: a container that has just been started is not expected to answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sampan.api.types import core_v1
from sampan.host.containers import ContainerRuntime, RuntimeFailure
from sampan.node.contracts import ProbeKind, ProbeReport
from sampan.node.probes import grpc, http, tcp
from sampan.node.probes.outcome import LONGEST_MESSAGE, Outcome, Unprobeable
from sampan.runtime import tasks
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, RealClock, Timer, unix

log = logging.getLogger(__name__)

QUICK, QUICK_EXEC = Exponential(first=0.01, factor=1.5), Exponential(first=0.05, factor=2)
"""Between attempts of a probe that has not succeeded yet. A command costs a hundred times what a connection does."""

EXECS = 8
"""Commands of probes that run at once; what waits for its turn is not charged to its timeout."""

PERIOD, TIMEOUT, SUCCESSES, FAILURES = 10, 1, 1, 3
"""Defaults of the API."""

Attempt = Callable[[], Awaitable[Outcome]]
_ENDING: tuple[ProbeKind, ...] = ("startup", "liveness")


@dataclass(slots=True, eq=False)
class _Probe:
    """Times are of the clock's `monotonic`. `counts_from` is when the next miss counts."""

    container_id: str
    kind: ProbeKind
    attempt: Attempt
    period: float
    successes: int
    failures: int
    counts_from: float
    quick: Exponential
    misses: int = 0
    result: bool | None = None
    last: bool | None = None
    in_a_row: int = 0
    succeeded: bool = False
    timer: Timer | None = None
    task: asyncio.Task[None] | None = None
    stopped: bool = False


@dataclass(slots=True)
class _Container:
    """`started` is when the container did, in the clock's `monotonic`."""

    id: str
    pod: core_v1.Pod
    spec: core_v1.Container
    started: float
    probes: dict[ProbeKind, _Probe] = field(default_factory=dict)
    has_started: bool = False


class Prober:
    """contracts.Probes. `run` never returns; attempts are made while it runs."""

    def __init__(self, runtime: ContainerRuntime, clock: Clock | None = None) -> None:
        self._runtime = runtime
        self._clock = clock or RealClock()
        self._containers: dict[str, _Container] = {}
        self._callbacks: list[Callable[[ProbeReport], None]] = []
        self._group: tasks.Group | None = None
        self._waiting: list[_Probe] = []
        self._execs = asyncio.Semaphore(EXECS)

    async def run(self) -> None:
        async with tasks.Group("probes") as group:
            self._group = group
            try:
                waiting, self._waiting = self._waiting, []
                for probe in waiting:
                    self._fire(probe)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    # --- contracts.Probes ---

    def subscribe(self, report: Callable[[ProbeReport], None]) -> None:
        self._callbacks.append(report)

    def start(self, pod: core_v1.Pod, container: core_v1.Container, container_id: str) -> None:
        if container_id in self._containers:
            return
        status = _status(pod, container_id)
        entry = self._containers[container_id] = _Container(container_id, pod, container, self._started(status))
        if container.startupProbe is None:
            self._begin_others(entry)
        elif status is not None and status.started:
            # An earlier process of ours saw it start; a container does that once.
            entry.has_started = True
            self._begin_others(entry)
        else:
            self._begin(entry, "startup", container.startupProbe)

    def stop(self, container_id: str) -> None:
        entry = self._containers.pop(container_id, None)
        for probe in entry.probes.values() if entry is not None else ():
            self._end(probe)

    def result(self, container_id: str, kind: ProbeKind) -> bool | None:
        entry = self._containers.get(container_id)
        if entry is None:
            return None
        if kind == "startup" and entry.has_started:
            return True
        probe = entry.probes.get(kind)
        return probe.result if probe is not None else None

    # --- schedule ---

    def _started(self, status: core_v1.ContainerStatus | None) -> float:
        running = status.state.running if status is not None else None
        since = unix(running.startedAt) if running is not None else 0.0
        age = max(0.0, self._clock.now() - since) if since else 0.0
        return self._clock.monotonic() - age

    def _begin_others(self, entry: _Container) -> None:
        if entry.spec.livenessProbe is not None:
            self._begin(entry, "liveness", entry.spec.livenessProbe)
        if entry.spec.readinessProbe is not None:
            self._begin(entry, "readiness", entry.spec.readinessProbe)

    def _begin(self, entry: _Container, kind: ProbeKind, spec: core_v1.Probe) -> None:
        now, period = self._clock.monotonic(), float(spec.periodSeconds or PERIOD)
        first = max(now, entry.started + (spec.initialDelaySeconds or 0))
        probe = _Probe(
            entry.id,
            kind,
            self._attempt(entry, spec),
            period,
            spec.successThreshold or SUCCESSES,
            spec.failureThreshold or FAILURES,
            counts_from=first if kind == "liveness" else first + period,
            quick=QUICK if spec.exec is None else QUICK_EXEC,
        )
        entry.probes[kind] = probe
        self._later(probe, first - now)

    def _later(self, probe: _Probe, seconds: float) -> None:
        probe.timer = self._clock.call_later(max(0.0, seconds), lambda: self._fire(probe))

    def _fire(self, probe: _Probe) -> None:
        if probe.stopped:
            return
        if self._group is None:
            self._waiting.append(probe)
            return
        probe.task = self._group.start(f"{probe.kind} {probe.container_id[:12]}", self._once(probe))

    def _end(self, probe: _Probe) -> None:
        probe.stopped = True
        if probe.timer is not None:
            probe.timer.cancel()
        # A report may lead to `stop` from within the attempt itself, which then ends on its own.
        if probe.task is not None and probe.task is not asyncio.current_task():
            probe.task.cancel()

    async def _once(self, probe: _Probe) -> None:
        began = self._clock.monotonic()
        try:
            outcome = await probe.attempt()
        except (RuntimeFailure, Unprobeable, OSError) as error:
            log.info("%s probe of container %s errored: %s", probe.kind, probe.container_id[:12], error)
            if not probe.stopped:
                self._later(probe, probe.period)
            return
        except Exception:
            log.exception("%s probe of container %s failed to run", probe.kind, probe.container_id[:12])
            if not probe.stopped:
                self._later(probe, probe.period)
            return
        if not probe.stopped:
            self._judge(probe, outcome, began)

    # --- verdicts ---

    def _judge(self, probe: _Probe, outcome: Outcome, began: float) -> None:
        quick = probe.kind != "liveness" and not probe.succeeded and not outcome.passed
        if quick and began < probe.counts_from:
            self._again_soon(probe)
            return
        probe.counts_from = began + probe.period
        probe.succeeded = probe.succeeded or outcome.passed
        probe.in_a_row = probe.in_a_row + 1 if probe.last is outcome.passed else 1
        probe.last = outcome.passed
        before = probe.result
        if probe.in_a_row >= (probe.successes if outcome.passed else probe.failures):
            probe.result = outcome.passed
        changed = probe.result is not before
        self._go_on(probe, quick)
        if changed or not outcome.passed:
            self._report(
                ProbeReport(probe.container_id, probe.kind, probe.result, outcome.passed, changed, outcome.message)
            )

    def _again_soon(self, probe: _Probe) -> None:
        until_counted = probe.counts_from - self._clock.monotonic()
        probe.misses += 1
        self._later(probe, min(probe.quick.delay(probe.misses), until_counted))

    def _go_on(self, probe: _Probe, quick: bool) -> None:
        if probe.result is False and probe.kind in _ENDING:
            return
        if probe.kind == "startup" and probe.result is True:
            entry = self._containers[probe.container_id]
            entry.has_started = True
            self._begin_others(entry)
        elif quick:
            self._again_soon(probe)
        else:
            self._later(probe, probe.counts_from - self._clock.monotonic())

    def _report(self, report: ProbeReport) -> None:
        for callback in tuple(self._callbacks):
            callback(report)

    # --- attempts ---

    def _attempt(self, entry: _Container, spec: core_v1.Probe) -> Attempt:
        timeout = float(spec.timeoutSeconds or TIMEOUT)
        ip = entry.pod.status.podIP or ""
        container = entry.spec
        if (get := spec.httpGet) is not None:
            headers = http.action_headers(get)
            return lambda: http.probe(http.action_address(get, container, ip), headers, timeout)
        if (socket := spec.tcpSocket) is not None:
            return lambda: tcp.probe(socket.host or ip, http.port_number(socket.port, container), timeout)
        if (rpc := spec.grpc) is not None:
            return lambda: grpc.probe(ip, rpc.port, rpc.service or "", timeout, tls=rpc.mode == "TLS")
        command = spec.exec.command if spec.exec is not None else ()
        return lambda: self._exec(entry.id, command, timeout)

    async def _exec(self, container_id: str, command: tuple[str, ...], timeout: float) -> Outcome:
        async with self._execs:
            try:
                result = await self._runtime.run(container_id, command, timeout)
            except TimeoutError:
                return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s')
        output = (result.stdout + result.stderr)[:LONGEST_MESSAGE].decode("utf-8", "replace")
        return Outcome(result.code == 0, output)


def _status(pod: core_v1.Pod, container_id: str) -> core_v1.ContainerStatus | None:
    """IDs in a status are written `runtime://ID`."""
    everyone = (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    return next((s for s in everyone if (s.containerID or "").rpartition("//")[2] == container_id), None)
