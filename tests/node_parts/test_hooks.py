from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sampan.api.types import core_v1
from sampan.host.containers import ExecResult, RuntimeFailure
from sampan.node.contracts import HookFailure
from sampan.node.hooks import LifecycleHooks
from sampan.runtime import tasks
from sampan.runtime.clock import VirtualClock, settle
from tests.node_parts.peers import Site, plain, server
from tests.node_parts.pods import UID, pod
from tests.node_parts.runtimes import Command, Table

WHERE = f'Container "c" in Pod "web_default({UID})"'


async def run(handler: str, command: Command | None = None, clock: VirtualClock | None = None) -> None:
    ports = "[{name: web, containerPort: 80}]"
    one = pod(
        f"containers: [{{name: c, image: i, ports: {ports}, lifecycle: {{preStop: {handler}}}}}]",
        status="podIP: 127.0.0.1",
    )
    container = one.spec.containers[0]
    assert container.lifecycle is not None and container.lifecycle.preStop is not None
    runtime: Any = Table(command)
    await LifecycleHooks(runtime, clock).run(one, container, "id", container.lifecycle.preStop)


async def test_a_command() -> None:
    asked: list[tuple[str, Sequence[str]]] = []

    async def command(id: str, arguments: Sequence[str]) -> ExecResult:
        asked.append((id, arguments))
        return ExecResult(0, b"", b"")

    await run("{exec: {command: [sh, -c, bye]}}", command)
    assert asked == [("id", ("sh", "-c", "bye"))]


async def test_a_command_that_fails() -> None:
    async def command(id: str, arguments: Sequence[str]) -> ExecResult:
        return ExecResult(3, b"out ", b"err")

    with pytest.raises(HookFailure) as caught:
        await run("{exec: {command: [sh, -c, bye]}}", command)
    assert str(caught.value) == (
        f"Exec lifecycle hook ([sh -c bye]) for {WHERE} failed - error: command 'sh -c bye' exited with 3: out err"
    )


async def test_a_container_that_is_gone() -> None:
    async def command(id: str, arguments: Sequence[str]) -> ExecResult:
        raise RuntimeFailure("NotRunning", "container 'id' is not running")

    with pytest.raises(HookFailure, match="failed - error: container 'id' is not running"):
        await run("{exec: {command: [x]}}", command)


async def test_a_request_whatever_the_answer() -> None:
    site = Site(default="500 Bad")
    async with server(site) as port:
        await run(f"{{httpGet: {{path: /bye, port: {port}, httpHeaders: [{{name: A, value: b}}]}}}}")
    assert site.requests[0].startswith("GET /bye HTTP/1.1\r\n") and "\r\nA: b\r\n" in site.requests[0]


async def test_a_server_that_speaks_no_tls_is_asked_in_plain() -> None:
    async with server(plain) as port:
        await run(f"{{httpGet: {{path: /bye, port: {port}, scheme: HTTPS}}}}")


async def test_a_request_that_nobody_answers() -> None:
    async with server(plain) as port:
        free = port
    with pytest.raises(HookFailure, match=r"HTTP lifecycle hook \(/bye\) for .* failed - error: Get .* refused"):
        await run(f"{{httpGet: {{path: /bye, port: {free}}}}}")


async def test_a_port_that_there_is_not() -> None:
    with pytest.raises(HookFailure, match="couldn't find port: none in container c"):
        await run("{httpGet: {path: /bye, port: none}}")


async def test_a_pause() -> None:
    clock = VirtualClock()
    async with tasks.Group("test") as group:
        pause = group.start("hook", run("{sleep: {seconds: 5}}", clock=clock))
        await settle()
        await clock.advance(4.9)
        assert not pause.done()
        await clock.advance(0.1)
        await settle()
        assert pause.done()


async def test_a_handler_without_anything_to_do() -> None:
    one = pod("containers: [{name: c, image: i}]")
    runtime: Any = Table()
    hooks = LifecycleHooks(runtime)
    with pytest.raises(HookFailure, match="it must have exec, httpGet or sleep"):
        await hooks.run(one, one.spec.containers[0], "id", core_v1.LifecycleHandler())
