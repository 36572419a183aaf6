"""What objects use of a ResourceQuota. Admission asks before a write, the controller counts afterwards. Pure.

Amounts are in units of 10^-9, exact. Source: Kubernetes' documentation "Resource Quotas".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sampan.api import quantity
from sampan.api.types import core_v1

ONE = 10**9

Amounts = dict[str, int]

COUNTED = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
)
"""Resources that a quota may also name without `count/`."""


def usage(resource: str, object: Any, now: str = "") -> Amounts:
    """What one object of `resource` (`pods`, `deployments.apps`) uses, by the names that quotas use.

    `now` (RFC 3339) tells pods whose time is up from those that still end; "" counts both.
    """
    found = {f"count/{resource}": ONE}
    if resource == "pods":
        return found if _is_over(object, now) else {**found, "pods": ONE, **_of_pod(object.spec)}
    if resource in COUNTED:
        found[resource] = ONE
    if resource == "services":
        found |= _of_service(object.spec)
    if resource == "persistentvolumeclaims":
        found |= _of_claim(object.spec)
    return found


def _is_over(pod: core_v1.Pod, now: str) -> bool:
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    end = pod.metadata.deletionTimestamp
    return bool(now) and end is not None and end < now


def _of_pod(spec: core_v1.PodSpec) -> Amounts:
    found: Amounts = {}
    for name, amount in total(spec, lambda resources: resources.requests).items():
        found[f"requests.{name}"] = amount
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            found[name] = amount
    for name, amount in total(spec, lambda resources: resources.limits).items():
        found[f"limits.{name}"] = amount
    return found


def total(spec: core_v1.PodSpec, part: Callable[[core_v1.ResourceRequirements], Mapping[str, str]]) -> Amounts:
    """Requests or limits of a pod: containers and sidecars together, or the largest init container; overhead."""
    running: Amounts = {}
    starting: Amounts = {}
    for container in spec.initContainers:
        own = _amounts(part(container.resources)) if container.resources else {}
        if container.restartPolicy == "Always":
            _add(running, own)
            _raise(starting, running)
        else:
            _raise(starting, _sum(running, own))
    for container in spec.containers:
        _add(running, _amounts(part(container.resources)) if container.resources else {})
    _raise(running, starting)
    if spec.resources is not None:
        running |= _amounts(part(spec.resources))
    for name, amount in _amounts(spec.overhead).items():
        if name in running:
            running[name] += amount
    return running


def _amounts(texts: Mapping[str, str]) -> Amounts:
    return {name: quantity.nano(text) for name, text in texts.items()}


def _add(into: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + amount


def _raise(into: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        into[name] = max(into.get(name, 0), amount)


def _sum(one: Amounts, other: Amounts) -> Amounts:
    found = dict(one)
    _add(found, other)
    return found


def _of_service(spec: core_v1.ServiceSpec) -> Amounts:
    balanced = spec.type == "LoadBalancer"
    opened = spec.type == "NodePort" or (balanced and spec.allocateLoadBalancerNodePorts is not False)
    return {
        "services.loadbalancers": ONE if balanced else 0,
        "services.nodeports": ONE * len(spec.ports) if opened else 0,
    }


def _of_claim(spec: core_v1.PersistentVolumeClaimSpec) -> Amounts:
    asked = quantity.nano((spec.resources.requests if spec.resources else {}).get("storage", "0"))
    found = {"requests.storage": asked}
    if spec.storageClassName:
        prefix = f"{spec.storageClassName}.storageclass.storage.k8s.io"
        found |= {f"{prefix}/requests.storage": asked, f"{prefix}/persistentvolumeclaims": ONE}
    return found


# --- scopes


def covers(spec: core_v1.ResourceQuotaSpec, resource: str, object: Any) -> bool:
    """Whether a quota's scopes select the object; scopes are for pods (and one for claims)."""
    wanted = [
        *(core_v1.ScopedResourceSelectorRequirement(scopeName=scope, operator="Exists") for scope in spec.scopes),
        *(spec.scopeSelector.matchExpressions if spec.scopeSelector else ()),
    ]
    if not wanted:
        return True
    if resource == "pods":
        return all(_has_scope(object, each) for each in wanted)
    if resource == "persistentvolumeclaims":
        return all(_claim_has_scope(object, each) for each in wanted)
    return False


def _has_scope(pod: core_v1.Pod, wanted: core_v1.ScopedResourceSelectorRequirement) -> bool:
    spec = pod.spec
    match wanted.scopeName:
        case "Terminating":
            return spec.activeDeadlineSeconds is not None
        case "NotTerminating":
            return spec.activeDeadlineSeconds is None
        case "BestEffort":
            return is_best_effort(spec)
        case "NotBestEffort":
            return not is_best_effort(spec)
        case "PriorityClass":
            return _selects(wanted, spec.priorityClassName or "")
        case "CrossNamespacePodAffinity":
            return _looks_elsewhere(spec.affinity)
    return False


def is_best_effort(spec: core_v1.PodSpec) -> bool:
    """No container asks for CPU or memory."""
    for container in (*spec.containers, *spec.initContainers):
        asked = container.resources
        if asked is not None and {*asked.requests, *asked.limits} & {"cpu", "memory"}:
            return False
    return spec.resources is None or not {*spec.resources.requests, *spec.resources.limits} & {"cpu", "memory"}


def _selects(wanted: core_v1.ScopedResourceSelectorRequirement, value: str) -> bool:
    match wanted.operator:
        case "In":
            return value in wanted.values
        case "NotIn":
            return value not in wanted.values
        case "DoesNotExist":
            return not value
    return bool(value)


def _looks_elsewhere(affinity: core_v1.Affinity | None) -> bool:
    terms: list[core_v1.PodAffinityTerm] = []
    for kind in (affinity.podAffinity, affinity.podAntiAffinity) if affinity else ():
        if kind is not None:
            terms += kind.requiredDuringSchedulingIgnoredDuringExecution
            terms += (each.podAffinityTerm for each in kind.preferredDuringSchedulingIgnoredDuringExecution)
    return any(term.namespaces or term.namespaceSelector is not None for term in terms)


def _claim_has_scope(claim: core_v1.PersistentVolumeClaim, wanted: core_v1.ScopedResourceSelectorRequirement) -> bool:
    return wanted.scopeName == "VolumeAttributesClass" and _selects(wanted, claim.spec.volumeAttributesClassName or "")


# --- sums


def used(spec: core_v1.ResourceQuotaSpec, objects: Iterable[tuple[str, Any]], now: str = "") -> dict[str, str]:
    """What all objects (resource, object) use of a quota: each name that it limits, in the style of its limit."""
    amounts = dict.fromkeys(spec.hard, 0)
    for resource, object in objects:
        if covers(spec, resource, object):
            for name, amount in usage(resource, object, now).items():
                if name in amounts:
                    amounts[name] += amount
    return {name: show(amount, spec.hard[name]) for name, amount in amounts.items()}


def show(amount: int, limit: str) -> str:
    """An amount in the style of a limit: `128Mi` next to `1Gi`."""
    return quantity.write(quantity.Quantity(amount, quantity.read(limit).style))


def resources_of(spec: core_v1.ResourceQuotaSpec) -> set[str]:
    """The resources whose objects a quota may be about: `pods`, `deployments.apps`, ..."""
    found: set[str] = set()
    for name in spec.hard:
        if name.startswith("count/"):
            found.add(name.removeprefix("count/"))
        elif name.startswith("services.") or name == "services":
            found.add("services")
        elif "storageclass.storage.k8s.io/" in name or name in ("requests.storage", "persistentvolumeclaims"):
            found.add("persistentvolumeclaims")
        elif name in COUNTED:
            found.add(name)
        else:
            found.add("pods")
    return found


# --- admission


class Charge(NamedTuple):
    """What a write costs a quota: `used` afterwards (None: nothing changes), or the `problem` that forbids it."""

    used: dict[str, str] | None
    problem: str = ""


def charge(object: core_v1.ResourceQuota, resource: str, new: Any, old: Any = None) -> Charge:
    """Whether a quota lets an object be created, or changed from `old`. The texts are upstream's."""
    spec, status = object.spec, object.status
    if not covers(spec, resource, new):
        return Charge(None)
    if resource == "pods" and old is None and (missing := unspecified(spec, new.spec)):
        return Charge(None, f"failed quota: {object.metadata.name}: must specify {missing}")
    asked = usage(resource, new)
    before = usage(resource, old) if old is not None and covers(spec, resource, old) else {}
    hard = {name: quantity.nano(text) for name, text in status.hard.items()}
    used = {name: quantity.nano(text) for name, text in status.used.items()}
    delta = {name: asked.get(name, 0) - before.get(name, 0) for name in hard if name in asked or name in before}
    delta = {name: amount for name, amount in delta.items() if amount}
    over = sorted(name for name, amount in delta.items() if amount > 0 and used.get(name, 0) + amount > hard[name])
    if over:
        requested, present, limited = (
            ",".join(f"{name}={show(amounts.get(name, 0), status.hard[name])}" for name in over)
            for amounts in (delta, used, hard)
        )
        why = f"exceeded quota: {object.metadata.name}, requested: {requested}, used: {present}, limited: {limited}"
        return Charge(None, why)
    if not delta:
        return Charge(None)
    after = {name: show(used.get(name, 0) + amount, status.hard[name]) for name, amount in delta.items()}
    return Charge({**status.used, **after})


def unspecified(spec: core_v1.ResourceQuotaSpec, pod: core_v1.PodSpec) -> str:
    """What a quota limits and containers do not say: `limits.cpu for: main; memory for: main`."""
    found = []
    for name in sorted(spec.hard):
        side, _, bare = name.rpartition(".")
        if bare not in ("cpu", "memory", "ephemeral-storage") or side not in ("", "requests", "limits"):
            continue
        levelled = _part(pod.resources, side) if pod.resources is not None else {}
        silent = [
            container.name
            for container in (*pod.initContainers, *pod.containers)
            if bare not in levelled and bare not in _part(container.resources, side)
        ]
        if silent:
            found.append(f"{name} for: {','.join(silent)}")
    return "; ".join(found)


def _part(resources: core_v1.ResourceRequirements | None, side: str) -> Mapping[str, str]:
    if resources is None:
        return {}
    return resources.limits if side == "limits" else resources.requests
