"""What the node knows of one pod at a moment, and each container's story in it. Values only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sampan.api.types import core_v1
from sampan.host.containers import Container, Resources, Sandbox
from sampan.node.contracts import AnyContainer, ProbeKind

Role = Literal["init", "sidecar", "main", "ephemeral"]

BACKOFF = "sampan.io/restart-backoff"
"""Annotation of a container: seconds to wait before it is started again, counted from its end."""
HASH = "io.kubernetes.container.hash"
"""Annotation of a container: what of its specification must not change while it runs."""

FIRST_BACKOFF, LONGEST_BACKOFF = 10, 300
FORGOTTEN_AFTER = 600.0
"""A container that has lived longer than this starts again at once."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something did not work and is tried again at `until` (Unix seconds); `reason` is for a waiting state."""

    reason: str
    message: str
    until: float


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a pod has to end. Without a reason it was deleted; otherwise its phase becomes Failed with it."""

    reason: str = ""
    message: str = ""
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class ResizeRefusal:
    """Why other limits are not given: Deferred (until others leave) or Infeasible (this node is too small)."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodObservation:
    """`sandboxes` and `containers` are this pod's, in the order of their attempts.

    `probes` hold verdicts by container ID and kind. `waits` are by container name, `images` names whose image is
    ready for the next start, `hooking` IDs whose postStart still runs, `doomed` IDs that have to be stopped and the
    event that says why, `messages` what ended containers left behind. `attempts` are the lowest numbers that the
    next start may carry. `resources` are what containers, `pod_resources` what the pod as a whole should be limited
    to; `resize` is why the pod may not have what it asks for, `resize_error` why it could not be given. `stop_by`
    is when the last process has to be gone, 0 while nothing ends the pod. `making` is set while a sandbox, a volume
    or a container is under way. Times are Unix seconds.
    """

    started_at: float
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()
    probes: Mapping[tuple[str, ProbeKind], bool] = field(default_factory=dict)
    volumes_ready: bool = False
    volumes_wait: Wait | None = None
    sandbox_wait: Wait | None = None
    waits: Mapping[str, Wait] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    hooking: frozenset[str] = frozenset()
    doomed: Mapping[str, str] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    resources: Mapping[str, Resources] = field(default_factory=dict)
    pod_resources: Resources | None = None
    resize: ResizeRefusal | None = None
    resize_error: str = ""
    verdict: Ending | None = None
    stop_by: float = 0.0
    making: bool = False
    released: bool = False
    host_ips: tuple[str, ...] = ()
    qos: str = ""

    @property
    def sandbox(self) -> Sandbox | None:
        """The one that containers may run in."""
        return next((each for each in reversed(self.sandboxes) if each.ready), None)


@dataclass(frozen=True, slots=True)
class Story:
    """One container of the specification: what runs or ran last, and what ran before that."""

    spec: AnyContainer
    role: Role
    current: Container | None
    previous: Container | None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.state == "running"

    @property
    def exited(self) -> bool:
        return self.current is not None and self.current.state == "exited"

    def runs_in(self, sandbox: Sandbox | None) -> bool:
        """Whether the last run was in this sandbox: what ran in an earlier one has to be done again."""
        return self.current is not None and sandbox is not None and self.current.sandbox_id == sandbox.id


def stories(pod: core_v1.Pod, seen: PodObservation) -> tuple[Story, ...]:
    """In the order of the specification: init containers, containers, ephemeral ones."""
    runs: dict[str, list[Container]] = {}
    for container in seen.containers:
        if container.state != "created":
            runs.setdefault(container.config.name, []).append(container)
    return tuple(_story(spec, role, runs.get(spec.name, [])) for spec, role in specified(pod))


def specified(pod: core_v1.Pod) -> Iterator[tuple[AnyContainer, Role]]:
    for spec in pod.spec.initContainers:
        yield spec, "sidecar" if spec.restartPolicy == "Always" else "init"
    for spec in pod.spec.containers:
        yield spec, "main"
    for ephemeral in pod.spec.ephemeralContainers:
        yield ephemeral, "ephemeral"


def _story(spec: AnyContainer, role: Role, runs: list[Container]) -> Story:
    return Story(spec, role, runs[-1] if runs else None, runs[-2] if len(runs) > 1 else None)


def succeeded(story: Story) -> bool:
    return story.current is not None and story.current.state == "exited" and story.current.exit_code == 0


def restarts(pod: core_v1.Pod, story: Story) -> bool:
    """Whether a run that ended would be followed by another, the pod living on."""
    container = story.current
    if container is None or container.state != "exited":
        return False
    return policy_restarts(pod, story, container.exit_code)


def policy_restarts(pod: core_v1.Pod, story: Story, exit_code: int) -> bool:
    if story.role == "ephemeral":
        return False
    if story.role == "sidecar":
        return True
    for rule in story.spec.restartPolicyRules:
        codes = rule.exitCodes
        if codes is not None and (exit_code in codes.values) is (codes.operator == "In"):
            return True
    policy = story.spec.restartPolicy or pod.spec.restartPolicy or "Always"
    if story.role == "init" and policy == "Always":
        policy = "OnFailure"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def backoff(container: Container) -> float:
    """Seconds that a container which has ended waits before it starts again."""
    if container.finished_at - container.created_at > FORGOTTEN_AFTER:
        return 0.0
    return float(container.config.annotations.get(BACKOFF, "0"))


def next_backoff(container: Container | None) -> int:
    """What the next run of a container has to carry: none for the first, 10 s for the second, doubled from there."""
    if container is None:
        return 0
    past = int(backoff(container))
    return min(2 * past, LONGEST_BACKOFF) if past else FIRST_BACKOFF


def due(container: Container) -> float:
    """When a container that has ended may start again."""
    return container.finished_at + backoff(container)


def is_started(story: Story, seen: PodObservation) -> bool:
    """It runs, its postStart is over and its startup probe, if any, has succeeded."""
    container = story.current
    if container is None or container.state != "running" or container.id in seen.hooking:
        return False
    return story.spec.startupProbe is None or seen.probes.get((container.id, "startup")) is True


def is_ready(story: Story, seen: PodObservation) -> bool:
    if story.role == "init":
        return succeeded(story)
    if not is_started(story, seen) or story.current is None:
        return False
    return story.spec.readinessProbe is None or seen.probes.get((story.current.id, "readiness")) is True


def is_initialized(told: tuple[Story, ...], seen: PodObservation) -> bool:
    """Init containers are through and sidecars have started; or containers run already, which proves that."""
    sandbox = seen.sandbox
    if any(story.role == "main" and story.runs_in(sandbox) for story in told):
        return True
    return all(init_passed(story, seen) for story in told if story.role in ("init", "sidecar"))


def init_passed(story: Story, seen: PodObservation) -> bool:
    """Whether what stands behind this init container may go on."""
    if not story.runs_in(seen.sandbox):
        return False
    return succeeded(story) if story.role == "init" else is_started(story, seen)
