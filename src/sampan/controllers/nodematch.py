"""Whether one node is right for a pod: node selector, node affinity and taints. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sampan.api.types import core_v1
from sampan.controllers.tainteviction import tolerates


def selects(spec: core_v1.PodSpec, node: core_v1.Node) -> bool:
    """spec.nodeSelector and the required node affinity."""
    labels = node.metadata.labels
    if not spec.nodeSelector.items() <= labels.items():
        return False
    affinity = spec.affinity.nodeAffinity if spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    return required is None or any(_term(term, node) for term in required.nodeSelectorTerms)


def _term(term: core_v1.NodeSelectorTerm, node: core_v1.Node) -> bool:
    if not (term.matchExpressions or term.matchFields):
        return False
    fields = {"metadata.name": node.metadata.name or ""}
    return all(_meets(each, node.metadata.labels.get(each.key)) for each in term.matchExpressions) and all(
        _meets(each, fields.get(each.key)) for each in term.matchFields
    )


def _meets(requirement: core_v1.NodeSelectorRequirement, value: str | None) -> bool:
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            number, bound = _integer(value), _integer(next(iter(requirement.values), None))
            if number is None or bound is None:
                return False
            return number > bound if requirement.operator == "Gt" else number < bound
    return False


def _integer(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def tolerates_all(
    tolerations: Iterable[core_v1.Toleration], taints: Iterable[core_v1.Taint], effects: Collection[str]
) -> bool:
    listed = tuple(tolerations)
    return all(any(tolerates(each, taint) for each in listed) for taint in taints if taint.effect in effects)
