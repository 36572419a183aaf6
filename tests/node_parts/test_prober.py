from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sampan.host.containers import ExecResult, RuntimeFailure
from sampan.node.contracts import ProbeReport
from sampan.node.probes import prober
from sampan.node.probes.prober import Prober
from sampan.runtime import tasks
from sampan.runtime.clock import VirtualClock, rfc3339, settle
from tests.node_parts.peers import Site, server
from tests.node_parts.pods import pod
from tests.node_parts.runtimes import Table

ID = "c0ffee"


class Bench:
    """A prober in virtual time whose commands answer `healthy` and are counted."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.healthy: bool | Exception = False
        self.attempts: list[float] = []
        self.reports: list[ProbeReport] = []
        runtime: Any = Table(self._command)
        self.prober = Prober(runtime, self.clock)
        self.prober.subscribe(self.reports.append)
        self.began = self.clock.monotonic()

    async def _command(self, id: str, command: Sequence[str]) -> ExecResult:
        self.attempts.append(round(self.clock.monotonic() - self.began, 3))
        if isinstance(self.healthy, Exception):
            raise self.healthy
        return ExecResult(0 if self.healthy else 1, b"out", b"err")

    def start(self, probes: str, status: str = "", id: str = ID) -> None:
        lines = "\n".join(f"  {line}" for line in probes.strip().splitlines())
        one = pod(f"containers:\n- name: c\n  image: i\n{lines}", status=status)
        self.prober.start(one, one.spec.containers[0], id)

    async def pass_(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    def take(self) -> list[float]:
        attempts, self.attempts = self.attempts, []
        return attempts


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with tasks.Group("bench") as group:
        running = group.start("prober", made.prober.run())
        await settle()
        yield made
        running.cancel()


READINESS = "readinessProbe: {exec: {command: [x]}, periodSeconds: 10, failureThreshold: 2}"
LIVENESS = "livenessProbe: {exec: {command: [x]}, periodSeconds: 10, failureThreshold: 3}"
STARTUP = "startupProbe: {exec: {command: [x]}, periodSeconds: 2, failureThreshold: 3}"


async def test_a_container_that_is_ready_at_once(bench: Bench) -> None:
    bench.healthy = True
    bench.start(READINESS)
    await bench.pass_(0)
    assert bench.prober.result(ID, "readiness") is True
    assert bench.reports == [ProbeReport(ID, "readiness", True, True, True, "outerr")]
    await bench.pass_(25)
    assert bench.take() == [0, 10, 20]
    assert len(bench.reports) == 1


async def test_looking_again_soon_finds_readiness_early(bench: Bench) -> None:
    bench.start(READINESS)
    await bench.pass_(0.4)
    assert bench.take() == [0, 0.05, 0.15, 0.35]
    assert bench.reports == []
    bench.healthy = True
    await bench.pass_(0.4)
    assert bench.take() == [0.75]
    assert bench.prober.result(ID, "readiness") is True
    await bench.pass_(20)
    assert bench.take() == [10.75, 20.75]


async def test_connections_are_tried_more_often_than_commands(bench: Bench) -> None:
    async with server(Site()) as port:
        closed = port
    bench.start(f"readinessProbe: {{tcpSocket: {{port: {closed}, host: 127.0.0.1}}, periodSeconds: 10}}")
    for _ in range(200):
        await bench.pass_(0.0025)
    (probe,) = bench.prober._containers[ID].probes.values()
    assert 6 <= probe.misses <= 9
    assert bench.reports == []


async def test_misses_count_once_a_period(bench: Bench) -> None:
    bench.start(READINESS)
    await bench.pass_(9.9)
    assert (bench.reports, bench.prober.result(ID, "readiness")) == ([], None)
    await bench.pass_(0.1)
    assert bench.reports == [ProbeReport(ID, "readiness", None, False, False, "outerr")]
    await bench.pass_(10)
    assert bench.reports[1:] == [ProbeReport(ID, "readiness", False, False, True, "outerr")]
    await bench.pass_(10)
    assert bench.reports[2:] == [ProbeReport(ID, "readiness", False, False, False, "outerr")]
    bench.take()
    bench.healthy = True
    await bench.pass_(10)
    assert bench.prober.result(ID, "readiness") is True


async def test_after_a_success_misses_are_counted_as_they_come(bench: Bench) -> None:
    bench.healthy = True
    bench.start(READINESS)
    await bench.pass_(0)
    bench.healthy = False
    await bench.pass_(20)
    assert bench.take() == [0, 10, 20]
    assert [(r.result, r.passed, r.changed) for r in bench.reports] == [
        (True, True, True),
        (True, False, False),
        (False, False, True),
    ]
    bench.healthy = True
    await bench.pass_(10)
    assert bench.reports[-1] == ProbeReport(ID, "readiness", True, True, True, "outerr")


async def test_several_successes_may_be_asked_for(bench: Bench) -> None:
    bench.healthy = True
    bench.start("readinessProbe: {exec: {command: [x]}, periodSeconds: 10, successThreshold: 2}")
    await bench.pass_(9)
    assert bench.prober.result(ID, "readiness") is None
    await bench.pass_(1)
    assert bench.prober.result(ID, "readiness") is True


async def test_the_first_look_waits(bench: Bench) -> None:
    bench.start("readinessProbe: {exec: {command: [x]}, initialDelaySeconds: 30, periodSeconds: 10}")
    await bench.pass_(29)
    assert bench.take() == []
    await bench.pass_(1)
    assert bench.take() == [30]


async def test_liveness_counts_from_the_first_look_and_ends_with_its_verdict(bench: Bench) -> None:
    bench.start(LIVENESS)
    await bench.pass_(25)
    assert bench.take() == [0, 10, 20]
    assert [(r.result, r.changed) for r in bench.reports] == [(None, False), (None, False), (False, True)]
    await bench.pass_(100)
    assert bench.take() == []
    assert bench.clock.pending == 0


async def test_startup_goes_before_the_others(bench: Bench) -> None:
    bench.start("\n".join((STARTUP, LIVENESS, READINESS)))
    await bench.pass_(0.1)
    assert bench.take() == [0, 0.05]
    assert bench.prober.result(ID, "startup") is None
    bench.healthy = True
    await bench.pass_(0.05)
    assert bench.take() == [0.15, 0.15, 0.15]
    assert [bench.prober.result(ID, kind) for kind in ("startup", "liveness", "readiness")] == [True, True, True]
    assert [r.kind for r in bench.reports] == ["startup", "liveness", "readiness"]
    await bench.pass_(10)
    assert bench.take() == [10.15, 10.15]


async def test_a_container_that_never_starts(bench: Bench) -> None:
    bench.start("\n".join((STARTUP, READINESS)))
    await bench.pass_(5.9)
    assert bench.prober.result(ID, "startup") is None
    await bench.pass_(0.1)
    assert bench.prober.result(ID, "startup") is False
    bench.take()
    await bench.pass_(100)
    assert bench.take() == []


async def test_a_stopped_container_is_left_alone(bench: Bench) -> None:
    bench.start(READINESS)
    await bench.pass_(0)
    bench.prober.stop(ID)
    bench.prober.stop(ID)
    bench.take()
    await bench.pass_(100)
    assert bench.take() == [] and bench.clock.pending == 0
    assert bench.prober.result(ID, "readiness") is None


async def test_starting_twice_is_starting_once(bench: Bench) -> None:
    bench.healthy = True
    bench.start(READINESS)
    bench.start(READINESS)
    await bench.pass_(0)
    assert bench.take() == [0]


async def test_who_hears_a_verdict_may_stop_the_probe(bench: Bench) -> None:
    bench.prober.subscribe(lambda report: bench.prober.stop(report.container_id))
    bench.start(LIVENESS)
    await bench.pass_(100)
    assert bench.take() == [0]


@pytest.mark.parametrize("error", [RuntimeFailure("NotRunning", "gone"), ZeroDivisionError("a bug")])
async def test_an_attempt_that_cannot_be_made_says_nothing(bench: Bench, error: Exception) -> None:
    bench.healthy = error
    bench.start(LIVENESS)
    await bench.pass_(35)
    assert bench.take() == [0, 10, 20, 30]
    assert bench.reports == [] and bench.prober.result(ID, "liveness") is None


async def test_what_an_earlier_process_saw_start(bench: Bench) -> None:
    status = f"""
    containerStatuses:
    - {{name: c, ready: true, started: true, restartCount: 0, image: i, imageID: i, containerID: "sampan://{ID}",
       state: {{running: {{startedAt: "{rfc3339(bench.clock.now() - 20)}"}}}}}}
    """
    bench.start(STARTUP + "\nreadinessProbe: {exec: {command: [x]}, initialDelaySeconds: 30}", status)
    assert bench.prober.result(ID, "startup") is True
    await bench.pass_(9)
    assert bench.take() == []
    await bench.pass_(1)
    assert bench.take() == [10]


async def test_a_command_that_takes_too_long() -> None:
    async def never(id: str, command: Sequence[str]) -> ExecResult:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    runtime: Any = Table(never)
    made = Prober(runtime)
    outcome = await made._exec(ID, ("sleep", "9"), 0.01)
    assert outcome == (False, 'command timed out: "sleep 9" timed out after 0.01s')


async def test_commands_are_run_a_few_at_a_time() -> None:
    running, most, gate = 0, 0, asyncio.Event()

    async def wait(id: str, command: Sequence[str]) -> ExecResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return ExecResult(0, b"", b"")

    runtime: Any = Table(wait)
    made = Prober(runtime, VirtualClock())
    one = pod("containers:\n- name: c\n  image: i\n  " + LIVENESS)
    async with tasks.Group("bench") as group:
        running_prober = group.start("prober", made.run())
        for at in range(3 * prober.EXECS):
            made.start(one, one.spec.containers[0], str(at))
        await settle()
        clock = made._clock
        assert isinstance(clock, VirtualClock)
        await clock.advance(0)
        assert most == prober.EXECS
        gate.set()
        await settle()
        assert all(made.result(str(at), "liveness") for at in range(3 * prober.EXECS))
        running_prober.cancel()


async def test_probes_begun_before_the_prober_runs_are_made_up_for() -> None:
    made = Bench()
    made.healthy = True
    made.start(READINESS)
    await made.pass_(1)
    assert made.take() == []
    async with tasks.Group("bench") as group:
        running = group.start("prober", made.prober.run())
        await settle()
        assert made.prober.result(ID, "readiness") is True
        running.cancel()


async def test_a_real_server_is_found_ready() -> None:
    """The whole way: real time, real sockets, a server that comes up while it is being looked for."""
    runtime: Any = Table()
    made, ready = Prober(runtime), asyncio.Event()
    made.subscribe(lambda report: ready.set())
    async with server(Site({"/ok": "200 OK"}, "500 Not Yet")) as port:
        one = pod(
            f"containers:\n- name: c\n  image: i\n  readinessProbe: {{httpGet: {{path: /ok, port: {port}}}}}",
            status="podIP: 127.0.0.1",
        )
        async with tasks.Group("bench") as group:
            running = group.start("prober", made.run())
            made.start(one, one.spec.containers[0], ID)
            await asyncio.wait_for(ready.wait(), 5)
            running.cancel()
    assert made.result(ID, "readiness") is True


def test_unknown_ids_have_no_result() -> None:
    runtime: Any = Table()
    assert Prober(runtime).result("none", "liveness") is None
