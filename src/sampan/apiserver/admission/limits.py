"""LimitRanger: a namespace's limit ranges give containers their defaults and hold pods and claims to bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sampan.api import quantity
from sampan.api.defaults.document import each, given, section
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1
from sampan.apiserver.admission.base import Plugin, refuse, text
from sampan.apiserver.contracts import Admission, View

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, str]


class LimitRanger(Plugin):
    name = "LimitRanger"
    handles = ("pods", "persistentvolumeclaims")

    def __init__(self, view: View) -> None:
        self._view = view

    def admit(self, admission: Admission) -> None:
        pod = admission.document
        if admission.kind.plural != "pods" or pod is None or not _concerns(admission):
            return
        for limits in self._ranges(admission):
            default_pod(pod, limits)

    def validate(self, admission: Admission) -> None:
        document = admission.document
        if document is None or not _concerns(admission):
            return
        for limits in self._ranges(admission):
            if admission.kind.plural == "pods":
                errors = list(_judge_pod(document, limits))
            else:
                errors = list(_judge_claim(document, limits))
            if errors:
                texts = list(dict.fromkeys(errors))
                raise refuse(admission, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")

    def _ranges(self, admission: Admission) -> list[core_v1.LimitRange]:
        found = self._view.list(core_v1.LimitRange, admission.attributes.namespace)
        return sorted(found, key=lambda each: each.metadata.name or "")


def _concerns(admission: Admission) -> bool:
    """New pods, new and grown claims: a pod's containers do not change later."""
    if admission.attributes.subresource:
        return False
    return admission.operation == "CREATE" or (
        admission.operation == "UPDATE" and admission.kind.plural == "persistentvolumeclaims"
    )


# --- defaults


def default_pod(pod: Document, limits: core_v1.LimitRange) -> None:
    """Fill in what containers do not say, and note in an annotation what was filled in."""
    items = [item for item in limits.spec.limits if item.type == "Container"]
    given_limits = _merged(item.default for item in items)
    given_requests = _merged(item.defaultRequest for item in items)
    if not given_limits and not given_requests:
        return
    spec, notes = section(pod, "spec"), []
    for key, word in (("containers", "container"), ("initContainers", "init container")):
        for container in each(spec, key):
            resources = section(container, "resources")
            for part, defaults in (("request", given_requests), ("limit", given_limits)):
                added = _fill(resources, f"{part}s", defaults)
                if added:
                    notes.append(f"{', '.join(sorted(added))} {part} for {word} {container.get('name')}")
    if notes:
        annotations = section(section(pod, "metadata"), "annotations")
        annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _merged(amounts: Iterable[Amounts]) -> dict[str, str]:
    return {name: amount for each in amounts for name, amount in each.items()}


def _fill(resources: Document, part: str, defaults: Amounts) -> list[str]:
    if not defaults:
        return []
    amounts = section(resources, part)
    added = [name for name in defaults if name not in amounts]
    for name in added:
        amounts[name] = defaults[name]
    return added


# --- bounds


def _judge_pod(pod: Document, limits: core_v1.LimitRange) -> Iterator[str]:
    spec = section(pod, "spec")
    for item in limits.spec.limits:
        if item.type == "Container":
            for key in ("containers", "initContainers"):
                for container in each(spec, key):
                    resources = given(container, "resources") or {}
                    yield from _judge(item, _amounts(resources, "requests"), _amounts(resources, "limits"))
        elif item.type == "Pod":
            yield from _judge(item, pod_amounts(spec, "requests"), pod_amounts(spec, "limits"))


def _judge_claim(claim: Document, limits: core_v1.LimitRange) -> Iterator[str]:
    requests = _amounts(given(section(claim, "spec"), "resources") or {}, "requests")
    for item in limits.spec.limits:
        if item.type == "PersistentVolumeClaim":
            for name, bound in sorted(item.min.items()):
                yield from _minimum(name, item.type, bound, requests, {})
            for name, bound in sorted(item.max.items()):
                yield from _maximum_request(name, item.type, bound, requests)


def _judge(item: core_v1.LimitRangeItem, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in sorted(item.min.items()):
        yield from _minimum(name, item.type, bound, requests, limits)
    for name, bound in sorted(item.max.items()):
        yield from _maximum(name, item.type, bound, requests, limits)
    for name, bound in sorted(item.maxLimitRequestRatio.items()):
        yield from _ratio(name, item.type, bound, requests, limits)


def _minimum(name: str, type: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    rule = f"minimum {name} usage per {type} is {bound}"
    if name not in requests:
        yield f"{rule}. No request is specified"
    elif _nano(requests[name]) < _nano(bound):
        yield f"{rule}, but request is {requests[name]}"
    elif name in limits and _nano(limits[name]) < _nano(bound):
        yield f"{rule}, but limit is {limits[name]}"


def _maximum(name: str, type: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    rule = f"maximum {name} usage per {type} is {bound}"
    if name not in limits:
        yield f"{rule}. No limit is specified"
    elif _nano(limits[name]) > _nano(bound):
        yield f"{rule}, but limit is {limits[name]}"
    elif name in requests and _nano(requests[name]) > _nano(bound):
        yield f"{rule}, but request is {requests[name]}"


def _maximum_request(name: str, type: str, bound: str, requests: Amounts) -> Iterator[str]:
    rule = f"maximum {name} usage per {type} is {bound}"
    if name not in requests:
        yield f"{rule}. No request is specified"
    elif _nano(requests[name]) > _nano(bound):
        yield f"{rule}, but request is {requests[name]}"


def _ratio(name: str, type: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    rule = f"{name} max limit to request ratio per {type} is {bound}"
    request, limit = _nano(requests.get(name, "0")), _nano(limits.get(name, "0"))
    if not request:
        yield f"{rule}, but no request is specified or request is 0"
    elif not limit:
        yield f"{rule}, but no limit is specified or limit is 0"
    elif limit * 10**9 > _nano(bound) * request:
        yield f"{rule}, but provided ratio is {limit / request:f}"


def _nano(amount: str) -> int:
    return quantity.nano(amount)


def _amounts(resources: Document, part: str) -> Amounts:
    return {name: str(amount) for name, amount in (given(resources, part) or {}).items()}


def pod_amounts(spec: Document, part: str) -> Amounts:
    """What a pod asks for as a whole: its containers and sidecars together, or its greediest start if that is more.

    What the pod says of itself (spec.resources) comes before the sum of its containers.
    """
    together: dict[str, str] = {}
    for container in each(spec, "containers"):
        _add(together, container, part)
    sidecars: dict[str, str] = {}
    start: dict[str, str] = {}
    for container in each(spec, "initContainers"):
        if text(container, "restartPolicy") == "Always":
            _add(sidecars, container, part)
            _add(together, container, part)
            start = _greater(start, sidecars)
        else:
            alone = dict(sidecars)
            _add(alone, container, part)
            start = _greater(start, alone)
    return {**_greater(together, start), **_amounts(given(spec, "resources") or {}, part)}


def _add(total: dict[str, str], container: Document, part: str) -> None:
    for name, amount in _amounts(given(container, "resources") or {}, part).items():
        total[name] = quantity.add(total.get(name, "0"), amount)


def _greater(one: Amounts, other: Amounts) -> dict[str, str]:
    """The greater amount of each name."""
    names = sorted(one.keys() | other.keys())
    return {name: max(one.get(name, "0"), other.get(name, "0"), key=quantity.nano) for name in names}
