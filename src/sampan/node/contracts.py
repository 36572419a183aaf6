"""What the pod lifecycle asks of the rest of the node: volumes, environment, security, probes, hooks.

`agent` and `worker` know only these shapes. Where a pod is passed, its status already carries what the node
knows (podIP, podIPs, hostIP, hostIPs), whether or not the API server has heard of it yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from sampan.api.types import core_v1
from sampan.host import containers

AnyContainer = core_v1.Container | core_v1.EphemeralContainer

ProbeKind = Literal["startup", "liveness", "readiness"]


class NotYet(Exception):
    """The pod has to wait for something; `reason` is an event's, such as FailedMount. It is tried again."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CreateContainerConfigError(Exception):
    """The container cannot be made of what its pod says; the message becomes its waiting message."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine gives to pods: CPU in millicores, the rest in bytes and counts."""

    cpu_milli: int
    memory: int
    ephemeral_storage: int = 0
    pods: int = 110
    hugepages: Mapping[str, int] = field(default_factory=dict)
    """Bytes by resource name, such as hugepages-2Mi."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """This node as pods may see it. `ips` are its InternalIPs, the primary first."""

    name: str
    ips: tuple[str, ...]
    capacity: Capacity
    allocatable: Capacity


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What pods are told about their cluster: `dns_ips` are the servers of dnsPolicy ClusterFirst."""

    domain: str
    dns_ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the node keeps things, below its data directory. All per pod, so that a pod leaves by one removal."""

    root: Path

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    def volumes(self, uid: str) -> Path:
        """The other room's: one directory per volume name below it."""
        return self.pod(uid) / "volumes"

    def hosts_file(self, uid: str) -> Path:
        return self.pod(uid) / "etc-hosts"

    def termination_message(self, uid: str, container: str, attempt: int) -> Path:
        return self.pod(uid) / "containers" / container / str(attempt)

    def log_directory(self, namespace: str, name: str, uid: str) -> Path:
        return self.logs / f"{namespace}_{name}_{uid}"

    @staticmethod
    def log_path(container: str, attempt: int) -> str:
        """Below the pod's log directory."""
        return f"{container}/{attempt}.log"


@dataclass(frozen=True, slots=True)
class HostVolume:
    """A volume that is ready on this machine: a directory or file. `readonly` holds for every mount of it.

    With `image`, the ID of an image that is here, its content is the volume and there is no path.
    """

    path: str
    readonly: bool = False
    image: str = ""


class PodVolumes(Protocol):
    async def mount(self, pod: core_v1.Pod) -> Mapping[str, HostVolume]:
        """By volume name, all of them. Idempotent. Raises NotYet FailedMount when a ConfigMap, Secret or claim is
        missing; whoever called tries again later."""
        ...

    async def unmount(self, pod_uid: str) -> None:
        """Idempotent, also after a restart of ours; raises OSError when something still holds them."""
        ...

    async def mounts(
        self, pod: core_v1.Pod, container: AnyContainer, volumes: Mapping[str, HostVolume]
    ) -> tuple[containers.Mount, ...]:
        """Of one container (volumeMounts, subPath and expressions). Raises CreateContainerConfigError."""
        ...

    async def sync(self, pod: core_v1.Pod) -> None:
        """Refresh what comes from the API (ConfigMaps, Secrets, tokens, labels) in a running pod. Raises NotYet."""
        ...


class ServicesView(Protocol):
    """The services that the node has heard of."""

    def services(self, namespace: str) -> Collection[core_v1.Service]: ...


class Configs(Protocol):
    """ConfigMaps and Secrets that pods of this node refer to; None for what does not exist."""

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap | None: ...

    async def secret(self, namespace: str, name: str) -> core_v1.Secret | None: ...


class Environment(Protocol):
    """`environment.environment`: the pairs in order. Raises CreateContainerConfigError."""

    async def __call__(
        self,
        pod: core_v1.Pod,
        container: AnyContainer,
        node: NodeFacts,
        services: ServicesView,
        ips: tuple[str, ...],
        configs: Configs,
    ) -> tuple[tuple[str, str], ...]: ...


class Security(Protocol):
    """`security.security`. Raises CreateContainerConfigError, for runAsNonRoot with upstream's messages."""

    def __call__(
        self, pod: core_v1.Pod, container: AnyContainer, image: containers.Image
    ) -> containers.SecurityConfig: ...


class ContainerResources(Protocol):
    """`resources.resources`: the limits of a container's cgroup; of the whole pod's with None."""

    def __call__(
        self, pod: core_v1.Pod, container: AnyContainer | None, capacity: Capacity
    ) -> containers.Resources: ...


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """One probe was run. `result` is its verdict with thresholds applied, None while there is none yet.

    `passed` is the outcome of this one run; a failed one with its `message` becomes an Unhealthy event.
    `changed` is set when `result` is another than before.
    """

    container_id: str
    kind: ProbeKind
    result: bool | None
    passed: bool
    changed: bool
    message: str = ""


class Probes(Protocol):
    """Runs probes by itself: exec, HTTP, TCP, gRPC. Liveness and readiness begin once startup has succeeded."""

    def subscribe(self, report: Callable[[ProbeReport], None]) -> None:
        """Call `report` after every run that failed and every change of a result."""
        ...

    def start(self, pod: core_v1.Pod, container: core_v1.Container, container_id: str) -> None:
        """Begin whatever probes the container has. Idempotent by ID. The pod's address is pod.status.podIP."""
        ...

    def stop(self, container_id: str) -> None:
        """Idempotent."""
        ...

    def result(self, container_id: str, kind: ProbeKind) -> bool | None:
        """None when there is no verdict yet, or no such probe."""
        ...


class Hooks(Protocol):
    async def run(
        self,
        pod: core_v1.Pod,
        container: core_v1.Container,
        container_id: str,
        handler: core_v1.LifecycleHandler,
    ) -> None:
        """Run postStart or preStop to its end. Raises HookFailure; a caller with less time cancels it."""
        ...


class Additions(Protocol):
    """What a container gets besides what its pod says: its environment anew, and directories to read, as (here, there).

    With a `problem` it gets nothing; the problem is told, and the container starts as it is.
    """

    @property
    def env(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def mounts(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def problem(self) -> str: ...


class Instrument(Protocol):
    async def __call__(
        self, pod: core_v1.Pod, container: str, env: tuple[tuple[str, str], ...], image_env: tuple[str, ...]
    ) -> Additions | None:
        """None for a container that is left as it is. May take long the first time; raises nothing."""
        ...


class HookFailure(Exception):
    """A lifecycle hook failed; the message is what the event shows."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the other half of this room gives to the lifecycle.

    `runners` never return; the agent runs them: probes, config caches, whatever has a task of its own.
    `quiet` returns once no new connection is led to an address that terminates, and whether any was before; None where
    nothing leads to pods. `instrument` is the monitor's, None where nothing is measured.
    """

    volumes: PodVolumes
    environment: Environment
    services: ServicesView
    configs: Configs
    security: Security
    resources: ContainerResources
    qos: Callable[[core_v1.Pod], str]
    cgroup: Callable[[core_v1.Pod], str]
    dns_config: Callable[[core_v1.Pod, ClusterFacts], containers.DNSConfig]
    hosts_file: Callable[[core_v1.Pod, tuple[str, ...]], str]
    probes: Probes
    hooks: Hooks
    runners: tuple[Callable[[], Awaitable[None]], ...] = ()
    quiet: Callable[[str], Awaitable[bool]] | None = None
    instrument: Instrument | None = None
