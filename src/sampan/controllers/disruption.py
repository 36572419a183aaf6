"""PodDisruptionBudgets: how many more pods may be evicted now. Evictions read the status; they do not count."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from sampan.api import conditions, selectors
from sampan.api.errors import StatusError
from sampan.api.types import apps_v1, autoscaling_v1, core_v1, meta_v1, policy_v1
from sampan.client.cache import Key, meta
from sampan.client.client import Client
from sampan.client.discovery import discover
from sampan.controllers import owners, pods, shares
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Call, Emit, Plan, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller, Watch

EVICTED_FOR = 120.0
"""Seconds in which a pod that was evicted counts as gone although its deletion was not seen; then it never began."""

SCALED: tuple[tuple[str, str, type[Any]], ...] = (
    ("apps", "ReplicaSet", apps_v1.ReplicaSet),
    ("apps", "Deployment", apps_v1.Deployment),
    ("apps", "StatefulSet", apps_v1.StatefulSet),
    ("", "ReplicationController", core_v1.ReplicationController),
)
"""Controllers whose size is in the caches; that of others is asked for through their scale subresource."""


class Unknown(Exception):
    """How many pods there should be cannot be told; the message is for a person."""


def plan(budget: policy_v1.PodDisruptionBudget, view: View) -> Plan:
    selector = selectors.label_selector(budget.spec.selector)
    namespace = budget.metadata.namespace or ""
    # Here an empty selector means what it says: all pods of the namespace.
    chosen = [pod for pod in view.within(core_v1.Pod, namespace) if selector.matches(pod.metadata.labels)]
    disrupted, wait = _still_disrupted(budget, chosen, view.now)
    healthy = [pod for pod in chosen if _counts(pod, disrupted)]
    try:
        expected, desired = yield from _wanted(budget, chosen, view)
    except Unknown as error:
        yield Emit(budget, "Warning", "CalculateExpectedPodCountFailed", str(error))
        yield from _fail(budget, str(error), view)
        return
    allowed = max(0, len(healthy) - desired) if expected > 0 else 0
    sufficient = allowed > 0
    status = replace(
        budget.status,
        currentHealthy=len(healthy),
        desiredHealthy=desired,
        expectedPods=expected,
        disruptionsAllowed=allowed,
        disruptedPods=disrupted,
        observedGeneration=budget.metadata.generation,
        conditions=_condition(budget, "SufficientPods" if sufficient else "InsufficientPods", "", view, sufficient),
    )
    if status != budget.status:
        yield UpdateStatus(replace(budget, status=status))
    if wait is not None:
        yield Requeue(wait)


def _counts(pod: core_v1.Pod, disrupted: Mapping[str, str]) -> bool:
    gone = pod.metadata.deletionTimestamp is not None or (pod.metadata.name or "") in disrupted
    return not gone and pods.is_ready(pod)


def _still_disrupted(
    budget: policy_v1.PodDisruptionBudget, chosen: Iterable[core_v1.Pod], now: float
) -> tuple[dict[str, str], float | None]:
    """Pods of which the eviction has been admitted and the deletion is still to come, and when to look again."""
    alive = {pod.metadata.name or "" for pod in chosen if pod.metadata.deletionTimestamp is None}
    kept, waits = {}, []
    for name, at in budget.status.disruptedPods.items():
        left = unix(at) + EVICTED_FOR - now
        if name in alive and left > 0:
            kept[name] = at
            waits.append(left)
    return kept, min(waits, default=None)


def _wanted(
    budget: policy_v1.PodDisruptionBudget, chosen: Sequence[core_v1.Pod], view: View
) -> Generator[Action, Any, tuple[int, int]]:
    """How many pods there should be, and how many of them healthy."""
    spec = budget.spec
    if spec.maxUnavailable is not None:
        expected = yield from _expected(chosen, view)
        return expected, max(0, expected - shares.share(spec.maxUnavailable, expected, up=True))
    if isinstance(spec.minAvailable, int):
        return len(chosen), spec.minAvailable
    if spec.minAvailable is not None:
        expected = yield from _expected(chosen, view)
        return expected, shares.share(spec.minAvailable, expected, up=True)
    return len(chosen), 0


def _expected(chosen: Iterable[core_v1.Pod], view: View) -> Generator[Action, Any, int]:
    """The sizes of everything that controls these pods, each once."""
    sizes: dict[str, int] = {}
    for pod in chosen:
        above = owners.controller_of(pod)
        if above is None:
            continue
        if above.uid not in sizes:
            uid, size = yield from _size(pod, above, view)
            sizes[above.uid] = 0
            sizes[uid] = size
    return sum(sizes.values())


def _size(pod: core_v1.Pod, above: meta_v1.OwnerReference, view: View) -> Generator[Action, Any, tuple[str, int]]:
    """The uid and size of the topmost controller that has one: a ReplicaSet's Deployment, for instance."""
    namespace, group = pod.metadata.namespace or "", above.apiVersion.rpartition("/")[0]
    for known_group, kind, type in SCALED:
        if (group, above.kind) != (known_group, kind):
            continue
        found: Any = view.get(type, above.name, namespace)
        if found is None or meta(found).uid != above.uid:
            return above.uid, 0
        higher = owners.controller_of(found)
        if higher is not None:
            return (yield from _size(pod, higher, view))
        return above.uid, 1 if found.spec.replicas is None else int(found.spec.replicas)
    size = yield Call(lambda client: scale(client, above, namespace))
    if size is None:
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        raise Unknown(
            f"{above.apiVersion} {above.kind} {above.name} of pod {name} does not implement the scale subresource"
        )
    return above.uid, int(size)


async def scale(client: Client, above: meta_v1.OwnerReference, namespace: str) -> int | None:
    """spec.replicas of a controller of any kind; 0 when it is gone, None when it cannot be scaled."""
    group = above.apiVersion.rpartition("/")[0]
    for kind in (await discover(client)).kinds:
        if (kind.group, kind.name) == (group, above.kind):
            try:
                response = await client.raw("GET", kind.path(namespace, above.name, "scale"))
            except StatusError as error:
                if error.code != 404:
                    raise
                return None
            found = msgspec.json.decode(await response.read(), type=autoscaling_v1.Scale)
            return found.spec.replicas or 0
    return None


def _condition(
    budget: policy_v1.PodDisruptionBudget, reason: str, message: str, view: View, allowed: bool
) -> tuple[meta_v1.Condition, ...]:
    made = meta_v1.Condition(
        type="DisruptionAllowed",
        status="True" if allowed else "False",
        reason=reason,
        message=message,
        observedGeneration=budget.metadata.generation,
    )
    return conditions.put(budget.status.conditions, made, rfc3339(view.now))


def _fail(budget: policy_v1.PodDisruptionBudget, message: str, view: View) -> Plan:
    """When it cannot be told, nothing may be evicted."""
    status = replace(
        budget.status,
        disruptionsAllowed=0,
        observedGeneration=budget.metadata.generation,
        conditions=_condition(budget, "SyncFailed", message, view, False),
    )
    if status != budget.status:
        yield UpdateStatus(replace(budget, status=status))


# --- declaration


def _budgets_of_pod(pod: core_v1.Pod, view: View) -> Iterable[Key]:
    for budget in view.within(policy_v1.PodDisruptionBudget, pod.metadata.namespace or ""):
        if selectors.label_selector(budget.spec.selector).matches(pod.metadata.labels):
            yield budget.metadata.namespace or "", budget.metadata.name or ""


def _budgets_near(owner: Any, view: View) -> Iterable[Key]:
    """A change of size concerns the budgets of its namespace."""
    namespace = meta(owner).namespace or ""
    return [(namespace, each.metadata.name or "") for each in view.within(policy_v1.PodDisruptionBudget, namespace)]


def _resized(old: Any, new: Any) -> bool:
    return bool(old.spec.replicas != new.spec.replicas)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="disruption-controller",
        primary=policy_v1.PodDisruptionBudget,
        plan=plan,
        watches=(
            Watch(core_v1.Pod, _budgets_of_pod, pods.matters),
            *(Watch(type, _budgets_near, _resized) for _, _, type in SCALED),
        ),
    )
