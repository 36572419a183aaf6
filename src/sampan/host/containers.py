"""What the node asks of the container runtime: sandboxes and containers, in the terms of the CRI.

The node decides, this carries out. Nothing here knows Pods; the labels that the node puts on sandboxes
and containers are how it finds its own again after a restart. State lives on disk, so that a new process
sees what an old one left running.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sampan.http.types import Connection


@dataclass(frozen=True, slots=True)
class DNSConfig:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of one cgroup. CPU in shares and microseconds a period, memory in bytes; 0 means unlimited."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 100_000
    memory_limit: int = 0
    pids_limit: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class PortMapping:
    protocol: Literal["TCP", "UDP", "SCTP"]
    container_port: int
    host_port: int
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """One pod's shared namespaces. `cgroup` is the pod's cgroup path below the runtime's root, such as
    `burstable/pod<uid>`. `log_directory` is where the node wants the containers' logs."""

    uid: str
    name: str
    namespace: str
    attempt: int = 0
    hostname: str = ""
    dns: DNSConfig = DNSConfig()
    ports: tuple[PortMapping, ...] = ()
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    resources: Resources = Resources()
    log_directory: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount into the container; rslave is Kubernetes' HostToContainer, rshared its Bidirectional.

    With `image`, a reference or ID that `images` knows, its content is mounted read-only in place of `host_path`;
    `image_sub_path` is a directory or file of it. `recursive_readonly` reaches the mounts below, too.
    """

    host_path: str
    container_path: str
    readonly: bool = False
    propagation: Literal["private", "rslave", "rshared"] = "private"
    recursive_readonly: bool = False
    image: str = ""
    image_sub_path: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    host_path: str
    container_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """`user` is None for the image's own; `username` is a name that the image's /etc/passwd resolves.

    `capabilities_add` and `_drop` are without the CAP_ prefix; ALL is understood.
    `seccomp` is RuntimeDefault, Unconfined or an absolute path of an OCI profile in JSON.
    `supplemental_groups_strict` leaves out the groups that the image's /etc/group gives the user.
    """

    user: int | None = None
    group: int | None = None
    username: str = ""
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_strict: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    privileged: bool = False
    readonly_rootfs: bool = False
    no_new_privileges: bool = False
    seccomp: str = "RuntimeDefault"
    masked_paths: bool = True


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """`command` and `args` are Kubernetes': None keeps the image's ENTRYPOINT and CMD by upstream's rules.

    `image` is a reference or ID that `images` knows. `log_path` is relative to the sandbox's log directory.
    `target` names a container of the same sandbox whose processes this one sees and may signal.
    """

    name: str
    image: str
    attempt: int = 0
    target: str = ""
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: SecurityConfig = SecurityConfig()
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sandbox:
    id: str
    config: SandboxConfig
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()
    netns: str = ""


ContainerState = Literal["created", "running", "exited"]


@dataclass(frozen=True, slots=True)
class Container:
    """Times are Unix seconds. `reason` is Completed, Error, OOMKilled or ContainerCannotRun when exited."""

    id: str
    sandbox_id: str
    config: ContainerConfig
    state: ContainerState
    created_at: float
    started_at: float = 0
    finished_at: float = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image_id: str = ""
    image_ref: str = ""
    pid: int = 0
    user: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """Of one cgroup. CPU in nanoseconds since its start, memory in bytes, `at` in Unix seconds."""

    at: float
    cpu_usage: int
    memory_usage: int
    memory_working_set: int
    memory_rss: int
    pids: int = 0


@dataclass(frozen=True, slots=True)
class ExecResult:
    code: int
    stdout: bytes
    stderr: bytes


INTERRUPTED = "the node's process ended while it started the container"
"""The message of a container that exited with StartError for no fault of its own: it never ran."""


class RuntimeFailure(Exception):
    """The runtime refused; `reason` is a word for a status, such as CreateContainerError or RunContainerError."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Process(Protocol):
    """A running exec or attach session. `resize` is for terminals; `close` detaches and, for exec, kills."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1, bytes) of stdout and (2, bytes) of stderr as they come; a terminal has only 1."""
        ...

    async def resize(self, width: int, height: int) -> None: ...

    async def wait(self) -> int:
        """The exit code; 128 + signal for a killed process."""
        ...

    async def close(self) -> None: ...


class PodNetwork(Protocol):
    """Connects a sandbox's network namespace (a CNI in one object). The network room implements it."""

    async def attach(self, sandbox_id: str, netns: str, config: SandboxConfig) -> tuple[str, ...]:
        """Give the namespace an interface, addresses and host ports; returns the addresses. Idempotent by sandbox."""
        ...

    async def detach(self, sandbox_id: str) -> None:
        """Release what `attach` took. Idempotent; works after a restart."""
        ...


class ContainerRuntime(Protocol):
    async def run_sandbox(self, config: SandboxConfig) -> Sandbox: ...

    async def stop_sandbox(self, id: str) -> None:
        """Kill what runs in it and release its network. Idempotent."""
        ...

    async def remove_sandbox(self, id: str) -> None:
        """Stop it and forget it, containers included. Idempotent."""
        ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str: ...

    async def start_container(self, id: str) -> None: ...

    async def stop_container(self, id: str, grace: float) -> None:
        """Send the stop signal, then SIGKILL after `grace` seconds; returns when it is gone. Idempotent."""
        ...

    async def remove_container(self, id: str) -> None: ...

    async def sandboxes(self) -> Sequence[Sandbox]: ...

    async def containers(self) -> Sequence[Container]: ...

    async def container(self, id: str) -> Container | None: ...

    def changes(self) -> AsyncIterator[str]:
        """IDs of containers that started or exited, as it happens; the reader then asks for `container(id)`."""
        ...

    async def update_resources(self, id: str, resources: Resources) -> None:
        """Of a running container, or of a sandbox's whole pod. Raises RuntimeFailure ResizeError."""
        ...

    async def run(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Execute in the container and collect the output (at most 16 MiB). Raises TimeoutError."""
        ...

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> Process: ...

    async def attach(self, id: str) -> Process: ...

    async def connect(self, sandbox_id: str, port: int) -> Connection:
        """A TCP connection to 127.0.0.1:`port` inside the sandbox's network namespace (port-forward)."""
        ...

    async def reopen_log(self, id: str) -> None:
        """The log file was moved away: write to a new one."""
        ...

    async def stats(self, id: str) -> Stats | None: ...

    async def sandbox_stats(self, id: str) -> Stats | None: ...


@dataclass(frozen=True, slots=True)
class Image:
    """`id` is the config's digest (sha256:...), `references` are names it goes by, `size` unpacked bytes."""

    id: str
    references: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    used_at: float
    user: str = ""
    env: tuple[str, ...] = ()
    """Its variables, as NAME=VALUE."""


class ImageService(Protocol):
    async def image(self, reference: str) -> Image | None:
        """The image that a reference or ID names here, without asking a registry."""
        ...

    async def pull(self, reference: str, credentials: Sequence[tuple[str, str]] = ()) -> Image:
        """Pull; `credentials` are (user, password) to try in turn. Raises ImageFailure with a status reason."""
        ...

    async def images(self) -> Sequence[Image]: ...

    async def remove(self, id: str) -> int:
        """Forget the image and what only it used; returns bytes freed."""
        ...

    async def usage(self) -> tuple[int, int]:
        """(bytes used, bytes of the filesystem it lives on)."""
        ...


class ImageFailure(Exception):
    """`reason` is ErrImagePull, InvalidImageName, ErrImageNeverPull, RegistryUnavailable; the message says why.

    `unreachable` says that the line is to blame, not what a registry answered.
    """

    def __init__(self, reason: str, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.unreachable = unreachable
