"""The node's own server (the kubelet's port 10250): logs, exec, attach, port-forward, figures.

The API server is its main caller; whoever else proves who it is may ask as the API server allows (access.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import msgspec

from sampan.api.types import core_v1, meta_v1
from sampan.host.containers import Container, ContainerRuntime, Process, RuntimeFailure
from sampan.http.types import Connection, Request, Response
from sampan.node import logs, stats
from sampan.node.access import Access
from sampan.node.contracts import Places
from sampan.node.exits import Exits
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.metrics import Sample, expose

log = logging.getLogger(__name__)

RUN_TIME = 600.0
"""Seconds that a command of /run may take."""

_PULLING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable")


class Pods(Protocol):
    """The pods of this node and what runs of them; the agent."""

    def pods(self) -> Collection[core_v1.Pod]: ...

    def pod(self, namespace: str, name: str, uid: str = "") -> core_v1.Pod | None: ...

    def container(self, pod: core_v1.Pod, name: str, *, previous: bool = False) -> Container | None:
        """The last run of a container, or the one before it."""
        ...

    def sandbox_id(self, pod: core_v1.Pod) -> str:
        """Of the sandbox that the pod runs in, "" when there is none."""
        ...


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Target(NamedTuple):
    pod: core_v1.Pod
    container: str


class NodeServer:
    """`handle` is a http.types.Handler; `run` never returns and must run for logs that are followed."""

    def __init__(
        self,
        pods: Pods,
        runtime: ContainerRuntime,
        collector: stats.Collector,
        access: Access,
        places: Places,
        *,
        configuration: Mapping[str, Any] | None = None,
        metrics: Callable[[], Iterable[Sample]] = tuple,
        more: Mapping[str, Callable[[Request, list[str]], Awaitable[Response]]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`configuration` is shown at /configz, `metrics` are added to /metrics, `more` answers below /NAME/."""
        self._pods = pods
        self._runtime = runtime
        self._collector = collector
        self._access = access
        self._places = places
        self._configuration = configuration or {}
        self._metrics = metrics
        self._clock = clock or RealClock()
        self._exits = Exits(runtime)
        self._plain: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/healthz": self._healthz,
            "/pods": self._list,
            "/runningpods": self._running,
            "/stats/summary": self._summary,
            "/metrics": self._own_metrics,
            "/metrics/resource": self._resource_metrics,
            "/metrics/cadvisor": self._container_metrics,
            "/configz": self._configz,
        }
        self._under: dict[str, tuple[tuple[int, ...], Callable[[Request, list[str]], Awaitable[Response]]]] = {
            "containerLogs": ((3,), self._logs),
            "exec": ((3, 4), self._exec),
            "attach": ((3, 4), self._attach),
            "run": ((3, 4), self._run),
            "portForward": ((2, 3), self._port_forward),
            "healthz": ((1,), self._check),
            **{name: ((1, 2, 3), answer) for name, answer in (more or {}).items()},
        }

    async def run(self) -> None:
        await self._exits.run()

    async def handle(self, request: Request) -> Response:
        refusal = await self._access.refusal(request)
        if refusal is not None:
            return refusal
        try:
            return await self._route(request)
        except _Refused as error:
            return _text(str(error), error.status)
        except RuntimeFailure as error:
            return _text(str(error), 500)

    async def _route(self, request: Request) -> Response:
        path = request.path.rstrip("/") or "/"
        if (plain := self._plain.get(path)) is not None:
            if request.method not in ("GET", "HEAD"):
                raise _Refused(405, f"{path} is for reading only")
            return await plain(request)
        # Split before decoding: a name may hold an encoded slash and must not become two.
        first, *rest = [unquote(part) for part in request.raw_path.strip("/").split("/")]
        counts, answer = self._under.get(first, ((), None))
        if answer is None or len(rest) not in counts:
            raise _Refused(404, f"404 page not found: {path}")
        return await answer(request, rest)

    # --- finding ---

    def _pod(self, namespace: str, name: str, uid: str = "") -> core_v1.Pod:
        pod = self._pods.pod(namespace, name, uid)
        if pod is None:
            raise _Refused(404, f'pod "{name}" does not exist on this node')
        return pod

    def _target(self, rest: list[str]) -> _Target:
        """namespace, pod, [uid], container."""
        namespace, name, *uid, container = rest
        pod = self._pod(namespace, name, *uid)
        everyone: tuple[core_v1.Container | core_v1.EphemeralContainer, ...] = (
            *pod.spec.containers,
            *pod.spec.initContainers,
            *pod.spec.ephemeralContainers,
        )
        if all(each.name != container for each in everyone):
            raise _Refused(404, f'container "{container}" not found in pod "{name}"')
        return _Target(pod, container)

    def _running_container(self, rest: list[str]) -> str:
        """The ID of the container; it must run."""
        target = self._target(rest)
        container = self._pods.container(target.pod, target.container)
        if container is None or container.state != "running":
            raise _Refused(500, f'container not found ("{target.container}")')
        return container.id

    # --- logs ---

    async def _logs(self, request: Request, rest: list[str]) -> Response:
        target = self._target(rest)
        previous = request.param("previous").lower() in ("1", "t", "true")
        try:
            options = logs.LogOptions.of(request.query, self._clock.now())
        except ValueError as error:
            raise _Refused(400, str(error)) from error
        container = self._pods.container(target.pod, target.container, previous=previous)
        if container is None:
            raise _Refused(400, _no_log(target, previous))
        meta = target.pod.metadata
        directory = self._places.log_directory(meta.namespace or "", meta.name or "", meta.uid or "")
        path = str(directory / Places.log_path(target.container, container.config.attempt))
        return Response(200, self._stream(path, options, container.id), (("Content-Type", "text/plain"),))

    async def _stream(self, path: str, options: logs.LogOptions, id: str) -> AsyncGenerator[bytes, None]:
        ended = await self._exits.watch(id) if options.follow else asyncio.Event()
        try:
            async for block in logs.read(path, options, ended):
                yield block
        except FileNotFoundError:
            yield f"unable to retrieve container logs for {id}\n".encode()
        finally:
            self._exits.release(id, ended)

    # --- sessions ---

    async def _exec(self, request: Request, rest: list[str]) -> Response:
        from sampan.streams import commands

        id = self._running_container(rest)
        command = request.query.get("command", [])

        async def start(options: commands.Options) -> Process:
            return await self._runtime.exec(id, command, tty=options.tty, stdin=options.stdin)

        return await commands.serve_remote_command(request, start)

    async def _attach(self, request: Request, rest: list[str]) -> Response:
        from sampan.streams import commands

        id = self._running_container(rest)

        async def start(options: commands.Options) -> Process:
            return await self._runtime.attach(id)

        return await commands.serve_remote_command(request, start, attach=True)

    async def _run(self, request: Request, rest: list[str]) -> Response:
        if request.method != "POST":
            raise _Refused(405, "/run is for POST only")
        command = request.param("cmd").split()
        if not command:
            raise _Refused(400, 'query parameter "cmd" is required')
        try:
            result = await self._runtime.run(self._running_container(rest), command, RUN_TIME)
        except TimeoutError as error:
            raise _Refused(500, f"the command took longer than {RUN_TIME:g} s") from error
        return Response(200 if result.code == 0 else 500, result.stdout + result.stderr, _TEXT)

    async def _port_forward(self, request: Request, rest: list[str]) -> Response:
        from sampan.streams import forwards

        pod = self._pod(*rest)
        id = self._pods.sandbox_id(pod)
        if not id:
            raise _Refused(500, f'pod "{pod.metadata.name}" has no running sandbox')

        async def dial(port: int) -> Connection:
            return await self._runtime.connect(id, port)

        return await forwards.serve_port_forward(request, dial)

    # --- what there is ---

    async def _healthz(self, request: Request) -> Response:
        return Response(200, b"ok", _TEXT)

    async def _check(self, request: Request, rest: list[str]) -> Response:
        if rest[0] not in ("ping", "log", "syncloop"):
            raise _Refused(404, f"404 page not found: {request.path}")
        return Response(200, b"ok", _TEXT)

    async def _list(self, request: Request) -> Response:
        return _pod_list(self._pods.pods())

    async def _running(self, request: Request) -> Response:
        """As the runtime has them, whatever the API server says."""
        found: dict[str, core_v1.Pod] = {}
        containers = [c for c in await self._runtime.containers() if c.state == "running"]
        for sandbox in await self._runtime.sandboxes():
            if sandbox.ready:
                config = sandbox.config
                own = [c for c in containers if c.sandbox_id == sandbox.id]
                specs = tuple(core_v1.Container(name=c.config.name, image=c.config.image) for c in own)
                meta = meta_v1.ObjectMeta(name=config.name, namespace=config.namespace, uid=config.uid)
                found[config.uid] = core_v1.Pod(metadata=meta, spec=core_v1.PodSpec(containers=specs))
        return _pod_list(found.values())

    async def _configz(self, request: Request) -> Response:
        return _json({"kubeletconfig": dict(self._configuration)})

    # --- figures ---

    async def _summary(self, request: Request) -> Response:
        return _json(await self._collector.summary(self._pods.pods()))

    async def _resource_metrics(self, request: Request) -> Response:
        return _text(stats.expose(await self._collector.resource_metrics()))

    async def _container_metrics(self, request: Request) -> Response:
        return _text(stats.expose(await self._collector.container_metrics()))

    async def _own_metrics(self, request: Request) -> Response:
        samples = list(self._metrics())
        states: dict[str, int] = {}
        for container in await self._runtime.containers():
            states[container.state] = states.get(container.state, 0) + 1
        for state, count in sorted(states.items()):
            what = "Number of containers by state."
            samples.append(Sample("kubelet_running_containers", "gauge", what, {"container_state": state}, count))
        ready = sum(sandbox.ready for sandbox in await self._runtime.sandboxes())
        samples.append(Sample("kubelet_running_pods", "gauge", "Number of pods with a running sandbox.", {}, ready))
        return _text(expose(samples))


def _no_log(target: _Target, previous: bool) -> str:
    """Why there is no log, in the words that people know."""
    name, pod = target.container, target.pod
    if previous:
        return f'previous terminated container "{name}" in pod "{pod.metadata.name}" not found'
    status = pod.status
    everyone = (*status.containerStatuses, *status.initContainerStatuses, *status.ephemeralContainerStatuses)
    waiting = next((each.state.waiting for each in everyone if each.name == name), None)
    reason = waiting.reason if waiting is not None and waiting.reason else "ContainerCreating"
    why = "trying and failing to pull image" if reason in _PULLING else reason
    return f'container "{name}" in pod "{pod.metadata.name}" is waiting to start: {why}'


_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"),)


def _text(text: str, status: int = 200) -> Response:
    return Response(status, text.encode() if text.endswith("\n") else f"{text}\n".encode(), _TEXT)


def _json(document: Any) -> Response:
    return Response(200, json.dumps(document).encode(), _JSON)


def _pod_list(pods: Iterable[core_v1.Pod]) -> Response:
    found = core_v1.PodList(apiVersion="v1", kind="PodList", items=tuple(pods))
    return Response(200, msgspec.json.encode(found), _JSON)
