"""What a worker remembers of its pod beside what the runtime and the API server hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.types import core_v1
from sampan.host.containers import Container, Image
from sampan.node import build, messages, resizing
from sampan.node.contracts import HostVolume, Places, ProbeKind
from sampan.node.observation import Ending, ResizeRefusal, Story, Wait
from sampan.runtime.backoff import Exponential, Failures

RETRY = Exponential(first=1.0, longest=10.0)
"""Before volumes, sandboxes and containers that could not be made are tried again."""

KINDS: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")


@dataclass(slots=True)
class Memory:
    """`pod` is the newest state that the server has shown. The worker's own tasks write here, between awaits."""

    pod: core_v1.Pod
    started_at: float
    volumes: Mapping[str, HostVolume] = field(default_factory=dict)
    volumes_ready: bool = False
    volumes_wait: Wait | None = None
    sandbox_wait: Wait | None = None
    waits: dict[str, Wait] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    hooking: set[str] = field(default_factory=set)
    doomed: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    """Keys of actions that were spoken of and hooks that were run: once is enough."""
    resize: ResizeRefusal | None = None
    resize_error: str = ""
    verdict: Ending | None = None
    stop_by: float = 0.0
    released: bool = False
    held: dict[str, float] = field(default_factory=dict)
    """Keys of actions that failed as they never should, and when they may be tried again."""
    failures: Failures = field(default_factory=lambda: Failures(RETRY))

    @property
    def granted(self) -> core_v1.Pod:
        """The pod with the resources that the node grants it."""
        return resizing.allocated(self.pod) if self.resize is not None else self.pod

    def retry(self, key: str, reason: str, message: str, now: float) -> Wait:
        """One more failure of `key`: when it may be tried again."""
        return Wait(reason, message, now + self.failures.failed(key))

    def forget(self, id: str) -> None:
        """The container is gone."""
        self.messages.pop(id, None)
        self.doomed.pop(id, None)
        self.announced = {each for each in self.announced if not each.endswith(id)}

    def forgive(self) -> None:
        """The pod has changed: what could not be made of it before may be possible now."""
        self.volumes_wait = self.sandbox_wait = None
        self.waits.clear()
        self.held.clear()
        self.failures = Failures(RETRY)


def adopted_attempts(pod: core_v1.Pod, containers: tuple[Container, ...]) -> dict[str, int]:
    """The lowest numbers that next runs may carry, for containers that the runtime has forgotten."""
    known = {each.config.name for each in containers}
    status = pod.status
    found = {}
    for each in (*status.initContainerStatuses, *status.containerStatuses, *status.ephemeralContainerStatuses):
        if each.containerID and each.name not in known:
            found[each.name] = each.restartCount + 1
    return found


def collect_messages(pod: core_v1.Pod, told: tuple[Story, ...], memory: Memory, places: Places) -> None:
    """Read what containers that ended since the last look left behind."""
    for story in told:
        for container in (story.current, story.previous):
            if container is not None and container.state == "exited" and container.id not in memory.messages:
                memory.messages[container.id] = _message(pod, container, places, len(told))


def _message(pod: core_v1.Pod, container: Container, places: Places, containers: int) -> str:
    meta, name, attempt = pod.metadata, container.config.name, container.config.attempt
    uid = meta.uid or ""
    text = messages.read(places.termination_message(uid, name, attempt), containers)
    policy = container.config.annotations.get(build.MESSAGE_POLICY)
    if text or policy != "FallbackToLogsOnError" or not container.exit_code:
        return text
    logs = places.log_directory(meta.namespace or "", meta.name or "", uid)
    return messages.of_log(logs / places.log_path(name, attempt))


def verdicts(
    told: tuple[Story, ...], result: Callable[[str, ProbeKind], bool | None]
) -> dict[tuple[str, ProbeKind], bool]:
    """What probes say of running containers."""
    found: dict[tuple[str, ProbeKind], bool] = {}
    for story in told:
        container = story.current
        if container is None or container.state != "running":
            continue
        for kind in KINDS:
            if getattr(story.spec, f"{kind}Probe") is None:
                continue
            verdict = result(container.id, kind)
            if verdict is not None:
                found[container.id, kind] = verdict
    return found
