"""A node in memory: the agent and its workers, a recording runtime, parts that do as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sampan.api import kinds
from sampan.api.types import core_v1
from sampan.client.client import Client
from sampan.host.containers import DNSConfig, Image, Mount, Resources, SecurityConfig
from sampan.node.agent import Agent
from sampan.node.contracts import (
    Additions,
    AnyContainer,
    Capacity,
    ClusterFacts,
    Configs,
    CreateContainerConfigError,
    HookFailure,
    HostVolume,
    NodeFacts,
    NotYet,
    Parts,
    Places,
    ProbeKind,
    ProbeReport,
    ServicesView,
)
from sampan.node.node_config import NodeConfig
from sampan.runtime.clock import VirtualClock, settle
from tests.node_machine.make import NOW
from tests.node_machine.runtime import MemoryImages, MemoryRuntime
from tests.node_machine.server import Server


class FakeVolumes:
    def __init__(self) -> None:
        self.problem: NotYet | None = None
        self.calls: list[str] = []

    async def mount(self, pod: core_v1.Pod) -> Mapping[str, HostVolume]:
        self.calls.append("mount")
        if self.problem is not None:
            raise self.problem
        return {}

    async def unmount(self, pod_uid: str) -> None:
        self.calls.append(f"unmount {pod_uid}")

    async def mounts(
        self, pod: core_v1.Pod, container: AnyContainer, volumes: Mapping[str, HostVolume]
    ) -> tuple[Mount, ...]:
        return ()

    async def sync(self, pod: core_v1.Pod) -> None:
        self.calls.append("sync")


class FakeProbes:
    def __init__(self) -> None:
        self.results: dict[tuple[str, ProbeKind], bool] = {}
        self.running: dict[str, str] = {}
        """Addresses by container ID."""
        self._report: Callable[[ProbeReport], None] | None = None

    def subscribe(self, report: Callable[[ProbeReport], None]) -> None:
        self._report = report

    def start(self, pod: core_v1.Pod, container: core_v1.Container, container_id: str) -> None:
        self.running[container_id] = pod.status.podIP or ""

    def stop(self, container_id: str) -> None:
        self.running.pop(container_id, None)

    def result(self, container_id: str, kind: ProbeKind) -> bool | None:
        return self.results.get((container_id, kind))

    def say(self, container_id: str, kind: ProbeKind, result: bool, message: str = "") -> None:
        assert self._report is not None
        self.results[container_id, kind] = result
        self._report(ProbeReport(container_id, kind, result, result, True, message))


class FakeHooks:
    """`gate` holds hooks back; `problem` is what they fail with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.problem: HookFailure | None = None
        self.gate: asyncio.Event | None = None

    async def run(
        self, pod: core_v1.Pod, container: core_v1.Container, container_id: str, handler: core_v1.LifecycleHandler
    ) -> None:
        self.calls.append(container.name)
        if self.gate is not None:
            await self.gate.wait()
        if self.problem is not None:
            raise self.problem


class FakeQuiet:
    """The service proxy: `gate` is set once nothing leads to any pod, `led` tells whether something did."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.led = False

    async def __call__(self, address: str) -> bool:
        self.calls.append(address)
        await self.gate.wait()
        return self.led


class FakeInstrument:
    """What containers get besides: `added`, None for nothing; `asked` are containers and their images' variables."""

    def __init__(self) -> None:
        self.added: Additions | None = None
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def __call__(
        self, pod: core_v1.Pod, container: str, env: tuple[tuple[str, str], ...], image_env: tuple[str, ...]
    ) -> Additions | None:
        self.asked.append((container, image_env))
        return self.added


class FakeEnvironment:
    def __init__(self) -> None:
        self.problem: CreateContainerConfigError | None = None

    async def __call__(
        self,
        pod: core_v1.Pod,
        container: AnyContainer,
        node: NodeFacts,
        services: ServicesView,
        ips: tuple[str, ...],
        configs: Configs,
    ) -> tuple[tuple[str, str], ...]:
        if self.problem is not None:
            raise self.problem
        return (("POD_IP", ips[0] if ips else ""),)


class FakeConfigs:
    def __init__(self) -> None:
        self.secrets: dict[str, core_v1.Secret] = {}

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap | None:
        return None

    async def secret(self, namespace: str, name: str) -> core_v1.Secret | None:
        return self.secrets.get(name)

    def services(self, namespace: str) -> Collection[core_v1.Service]:
        return ()


def security(pod: core_v1.Pod, container: AnyContainer, image: Image) -> SecurityConfig:
    return SecurityConfig()


def limits(pod: core_v1.Pod, container: AnyContainer | None, capacity: Capacity) -> Resources:
    memory = container.resources.limits.get("memory", "0") if container is not None else "0"
    return Resources(memory_limit=int(memory))


class Lab:
    def __init__(self, root: Path, **config: Any) -> None:
        self.clock = VirtualClock(NOW)
        self.server = Server()
        self.runtime = MemoryRuntime(self.clock)
        self.images = MemoryImages("app:1")
        self.volumes, self.probes, self.hooks = FakeVolumes(), FakeProbes(), FakeHooks()
        self.quiet, self.instrument = FakeQuiet(), FakeInstrument()
        self.environment, self.configs = FakeEnvironment(), FakeConfigs()
        self.config = NodeConfig(
            name="n1",
            ips=("192.0.2.7",),
            places=Places(root),
            cluster=ClusterFacts("cluster.local", ("10.96.0.10",)),
            capacity=Capacity(4000, 8 << 30, 100 << 30),
            **config,
        )
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        """As after a restart of the node's process."""
        parts = Parts(
            volumes=self.volumes,
            environment=self.environment,
            services=self.configs,
            configs=self.configs,
            security=security,
            resources=limits,
            qos=lambda pod: "BestEffort",
            cgroup=lambda pod: f"pod{pod.metadata.uid}",
            dns_config=lambda pod, cluster: DNSConfig(cluster.dns_ips),
            hosts_file=lambda pod, ips: "".join(f"{ip} {pod.metadata.name}\n" for ip in ips),
            probes=self.probes,
            hooks=self.hooks,
            quiet=self.quiet,
            instrument=self.instrument,
        )
        client = Client(self.server, kinds.ALL)
        return Agent(client, self.runtime, self.images, parts, self.config, clock=self.clock)

    @asynccontextmanager
    async def running(self) -> Any:
        task = asyncio.get_running_loop().create_task(self.agent.run())
        try:
            await self.settle()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> None:
        """Until nothing happens any more by itself; threads of the executor included."""
        for _ in range(5):
            await settle(100)
            await asyncio.sleep(0.002)

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.settle()

    async def add(self, pod: core_v1.Pod) -> None:
        self.server.put("pods", pod)
        await self.settle()

    def pod(self, name: str = "web") -> core_v1.Pod:
        found = self.server.pod(name)
        assert found is not None
        return found
