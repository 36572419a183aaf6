"""The life of a pod: what to do next, decided from what is seen. Pure; the worker carries it out.

    nothing -> volumes, sandbox, first images (side by side) -> init containers and sidecars (in order)
        -> containers (side by side) -> all ended for good, deleted, deadline over, evicted
        -> containers stopped, then sidecars (last first) -> sandbox stopped, volumes unmounted -> released

A plan says everything that is wanted now; an action with the key of one that is under way is the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sampan.api.types import core_v1
from sampan.node import observation, resizing
from sampan.node.contracts import AnyContainer, ProbeKind
from sampan.node.observation import Ending, PodObservation, Story
from sampan.node.plan import (
    EnsureImage,
    MakeSandbox,
    MountVolumes,
    NoteBackoff,
    Plan,
    Release,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
)
from sampan.runtime.clock import unix

GRACE = 30.0
MINIMAL_GRACE = 1.0
"""Even a pod deleted without grace is asked to stop first."""
SIDECAR_GRACE = 2.0
"""What sidecars have left when the containers before them used up the pod's whole grace."""

DEADLINE = "Pod was active on the node longer than the specified deadline"


def decide(pod: core_v1.Pod, seen: PodObservation, now: float) -> Plan:
    plan = Plan()
    told = observation.stories(pod, seen)
    if ending(pod, seen, now) is not None or is_finished(pod, told, seen):
        _end(pod, told, seen, plan, now)
        return plan
    limit = deadline(pod, seen)
    if limit:
        plan.wake(limit)
    _stop_misfits(pod, told, seen, plan)
    _prepare(pod, told, seen, plan, now)
    _forget(told, seen, plan)
    return plan


# --- why a pod ends ---


def ending(pod: core_v1.Pod, seen: PodObservation, now: float) -> Ending | None:
    """Why the pod has to end whatever its containers do, None while it may live."""
    if seen.verdict is not None:
        return seen.verdict
    if pod.metadata.deletionTimestamp:
        return Ending(grace=max(MINIMAL_GRACE, float(pod.metadata.deletionGracePeriodSeconds or 0)))
    limit = deadline(pod, seen)
    if limit and now >= limit:
        return Ending("DeadlineExceeded", DEADLINE, grace_period(pod))
    return None


def deadline(pod: core_v1.Pod, seen: PodObservation) -> float:
    """When activeDeadlineSeconds are over, 0 without them."""
    seconds = pod.spec.activeDeadlineSeconds
    return (unix(pod.status.startTime) or seen.started_at) + seconds if seconds else 0.0


def grace_period(pod: core_v1.Pod) -> float:
    seconds = pod.spec.terminationGracePeriodSeconds
    return max(MINIMAL_GRACE, GRACE if seconds is None else float(seconds))


def is_finished(pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation) -> bool:
    """Whether nothing of the pod will ever start again by itself; sidecars may still run."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    if any(
        s.role == "init" and s.exited and not observation.succeeded(s) and not observation.restarts(pod, s)
        for s in told
    ):
        return True
    return all(s.exited and not observation.restarts(pod, s) for s in told if s.role == "main")


# --- ending ---


def _end(pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, plan: Plan, now: float) -> None:
    """Stop the containers, after them the sidecars one by one from the last, then let go of everything."""
    left = (seen.stop_by or now + grace_period(pod)) - now
    first = [s for s in told if s.running and s.role != "sidecar"]
    sidecars = [s for s in told if s.running and s.role == "sidecar"]
    for story in first or sidecars[-1:]:
        least = SIDECAR_GRACE if story.role == "sidecar" else 0.0
        plan.do(_stop(story, max(least, left), f"Stopping container {story.name}"))
    if first or sidecars:
        return
    stopped = {story.current.id for story in told if story.current is not None}
    strays = [c for c in seen.containers if c.state == "running" and c.id not in stopped]
    for container in strays:
        name = container.config.name
        plan.do(StopContainer(container.id, name, max(0.0, left), f"Stopping container {name}"))
    ready = [sandbox for sandbox in seen.sandboxes if sandbox.ready]
    if strays or seen.making:
        return
    for sandbox in ready:
        plan.do(StopSandbox(sandbox.id))
    if not ready and not seen.released:
        plan.do(Release())


def _stop(story: Story, grace: float, why: str) -> StopContainer:
    assert story.current is not None
    return StopContainer(story.current.id, story.name, grace, why)


# --- living ---


def _stop_misfits(pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, plan: Plan) -> None:
    """Running containers that may not run on: probes failed, the specification is another, the sandbox is gone.

    Those that may, but with other limits, get them.
    """
    waiting = []
    for story in told:
        container = story.current
        if container is None or container.state != "running":
            continue
        if not story.runs_in(seen.sandbox):
            plan.do(_stop(story, grace_period(pod), "Pod sandbox changed, it will be killed and re-created."))
            continue
        found = _misfit(pod, story, seen)
        if found is not None:
            why, grace = found
            plan.do(_stop(story, grace, why))
        elif resizing.differs(story, seen):
            waiting.append(story)
    resizing.arrange(waiting, seen, plan)


def _misfit(pod: core_v1.Pod, story: Story, seen: PodObservation) -> tuple[str, float] | None:
    """(event's text, grace) when a running container has to go."""
    assert story.current is not None
    id, name, grace = story.current.id, story.name, grace_period(pod)
    if id in seen.doomed:
        return seen.doomed[id], grace
    if story.role == "ephemeral":
        return None
    again = ", will be restarted" if observation.policy_restarts(pod, story, 137) else ""
    if story.role != "init" and story.current.config.annotations.get(observation.HASH) != fingerprint(story.spec):
        return f"Container {name} definition changed, will be restarted", grace
    if resizing.needs_restart(story, seen):
        return f"Container {name} resize requires restart, will be restarted", grace
    checks: tuple[tuple[ProbeKind, core_v1.Probe | None], ...] = (
        ("startup", story.spec.startupProbe),
        ("liveness", story.spec.livenessProbe),
    )
    for kind, probe in checks:
        if probe is not None and seen.probes.get((id, kind)) is False:
            own = probe.terminationGracePeriodSeconds
            return f"Container {name} failed {kind} probe{again}", grace if own is None else float(own)
    return None


def _prepare(pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, plan: Plan, now: float) -> None:
    if not seen.volumes_ready and plan.may(seen.volumes_wait, now):
        plan.do(MountVolumes())
    sandbox = seen.sandbox
    if sandbox is None and not any(s.running for s in told) and plan.may(seen.sandbox_wait, now):
        last = seen.sandboxes[-1].config.attempt if seen.sandboxes else -1
        plan.do(MakeSandbox(last + 1))
    fits = not resizing.pod_differs(seen)
    for story in _next(pod, told, seen, plan, now):
        if story.name not in seen.images:
            if plan.may(seen.waits.get(story.name), now):
                plan.do(EnsureImage(story.name))
        elif sandbox is not None and fits and seen.volumes_ready and plan.may(seen.waits.get(story.name), now):
            plan.do(_start(story, seen, sandbox.id))


def _start(story: Story, seen: PodObservation, sandbox_id: str) -> StartContainer:
    last = story.current
    attempt = max(seen.attempts.get(story.name, 0), last.config.attempt + 1 if last is not None else 0)
    return StartContainer(story.name, story.role, attempt, sandbox_id, observation.next_backoff(last))


def _next(pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, plan: Plan, now: float) -> Iterator[Story]:
    """What should be started now, as far as order and back-off allow."""
    if not observation.is_initialized(told, seen):
        yield from _next_init(told, seen, plan, now)
        return
    for story in told:
        if story.role == "sidecar" and not story.running and _backed_off(story, seen, plan, now):
            yield story
    yield from _next_main(pod, told, seen, plan, now)
    for story in told:
        if story.role == "ephemeral" and story.current is None and seen.sandbox is not None:
            yield story


def _next_init(told: tuple[Story, ...], seen: PodObservation, plan: Plan, now: float) -> Iterator[Story]:
    """The first that is not through; sidecars before it that have ended start again beside it."""
    for story in told:
        if story.role not in ("init", "sidecar"):
            continue
        if observation.init_passed(story, seen):
            continue
        here = story.runs_in(seen.sandbox)
        if not story.running and (not here or _backed_off(story, seen, plan, now)):
            yield story
        later = told[told.index(story) + 1 :]
        if not (story.role == "sidecar" and here and any(s.role == "init" and s.runs_in(seen.sandbox) for s in later)):
            return


def _next_main(
    pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, plan: Plan, now: float
) -> Iterator[Story]:
    """All at once, except that a postStart hook holds back the containers that stand behind it."""
    for story in told:
        if story.role != "main":
            continue
        hook = story.spec.lifecycle is not None and story.spec.lifecycle.postStart is not None
        if story.running:
            if hook and story.current is not None and story.current.id in seen.hooking:
                return
            continue
        if story.exited and not observation.restarts(pod, story):
            continue
        if not _backed_off(story, seen, plan, now):
            continue
        yield story
        if hook and plan.may(seen.waits.get(story.name), now):
            return


def _backed_off(story: Story, seen: PodObservation, plan: Plan, now: float) -> bool:
    """Whether a container that has ended may start again by now."""
    if story.current is None or story.current.state != "exited":
        return True
    at = observation.due(story.current)
    if at <= now:
        return True
    plan.wake(at)
    plan.do(NoteBackoff(story.current.id, story.name))
    return False


def _forget(told: tuple[Story, ...], seen: PodObservation, plan: Plan) -> None:
    """Of each container the last two runs are remembered, of sandboxes the last one that is gone."""
    kept = {c.id for story in told for c in (story.current, story.previous) if c is not None}
    names = {story.name for story in told}
    for container in seen.containers:
        if container.state == "exited" and container.id not in kept and container.config.name in names:
            plan.do(RemoveContainer(container.id))
    holding = {c.sandbox_id for c in seen.containers if c.id in kept}
    for sandbox in seen.sandboxes[:-1]:
        if not sandbox.ready and sandbox.id not in holding:
            plan.do(RemoveSandbox(sandbox.id))


def fingerprint(spec: AnyContainer) -> str:
    """Of what a running container was made of and cannot follow: its name and image."""
    return hashlib.sha256(f"{spec.name}\0{spec.image}".encode()).hexdigest()[:16]


def stop_by(seen: PodObservation, end: Ending, now: float) -> float:
    """When the last process of a pod that ends has to be gone; a grace period can only become shorter."""
    return min(seen.stop_by or float("inf"), now + end.grace)
