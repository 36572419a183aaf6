"""Rules of where pods may go: node and pod affinity, tolerations, topology spread."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import duplicate, forbidden, invalid, not_supported, required
from sampan.api.types import core_v1
from sampan.api.validation import meta
from sampan.api.validation.checks import Errors, choice, label_selector, named

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OPERATOR = "not a valid selector operator"


def affinity(errors: Errors, wanted: core_v1.Affinity, path: str) -> None:
    if wanted.nodeAffinity is not None:
        _node(errors, wanted.nodeAffinity, f"{path}.nodeAffinity")
    for member in ("podAffinity", "podAntiAffinity"):
        part: core_v1.PodAffinity | core_v1.PodAntiAffinity | None = getattr(wanted, member)
        if part is None:
            continue
        must = "requiredDuringSchedulingIgnoredDuringExecution"
        for at, term in enumerate(part.requiredDuringSchedulingIgnoredDuringExecution):
            _pod_term(errors, term, f"{path}.{member}.{must}[{at}]")
        like = "preferredDuringSchedulingIgnoredDuringExecution"
        for at, weighted in enumerate(part.preferredDuringSchedulingIgnoredDuringExecution):
            below = f"{path}.{member}.{like}[{at}]"
            _weight(errors, weighted.weight, below)
            _pod_term(errors, weighted.podAffinityTerm, f"{below}.podAffinityTerm")


def _weight(errors: Errors, weight: int, path: str) -> None:
    if not 1 <= weight <= 100:
        errors.append(invalid(f"{path}.weight", weight, "must be in the range 1-100"))


def _node(errors: Errors, wanted: core_v1.NodeAffinity, path: str) -> None:
    if wanted.requiredDuringSchedulingIgnoredDuringExecution is not None:
        below = f"{path}.requiredDuringSchedulingIgnoredDuringExecution"
        node_selector(errors, wanted.requiredDuringSchedulingIgnoredDuringExecution, below)
    for at, term in enumerate(wanted.preferredDuringSchedulingIgnoredDuringExecution):
        below = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{at}]"
        _weight(errors, term.weight, below)
        _node_term(errors, term.preference, f"{below}.preference")


def node_selector(errors: Errors, wanted: core_v1.NodeSelector, path: str) -> None:
    if not wanted.nodeSelectorTerms:
        errors.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for at, term in enumerate(wanted.nodeSelectorTerms):
        _node_term(errors, term, f"{path}.nodeSelectorTerms[{at}]")


def _node_term(errors: Errors, term: core_v1.NodeSelectorTerm, path: str) -> None:
    for at, want in enumerate(term.matchExpressions):
        below = f"{path}.matchExpressions[{at}]"
        if want.operator in ("In", "NotIn"):
            if not want.values:
                errors.append(required(f"{below}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif want.operator in ("Exists", "DoesNotExist"):
            if want.values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(forbidden(f"{below}.values", text))
        elif want.operator in ("Gt", "Lt"):
            if len(want.values) != 1:
                text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                errors.append(required(f"{below}.values", text))
        else:
            errors.append(invalid(f"{below}.operator", want.operator, _OPERATOR))
        meta.label_name(errors, want.key, f"{below}.key")
    for at, want in enumerate(term.matchFields):
        below = f"{path}.matchFields[{at}]"
        if want.operator not in ("In", "NotIn"):
            errors.append(invalid(f"{below}.operator", want.operator, _OPERATOR))
        elif len(want.values) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(required(f"{below}.values", text))
        if want.key != "metadata.name":
            errors.append(invalid(f"{below}.key", want.key, "not a valid field selector key"))
        else:
            for index, value in enumerate(want.values):
                named(errors, value, f"{below}.values[{index}]", names.dns_subdomain)


def _pod_term(errors: Errors, term: core_v1.PodAffinityTerm, path: str) -> None:
    label_selector(errors, term.labelSelector, f"{path}.labelSelector")
    label_selector(errors, term.namespaceSelector, f"{path}.namespaceSelector")
    for name in term.namespaces:
        named(errors, name, f"{path}.namespace")
    _topology_key(errors, term.topologyKey, f"{path}.topologyKey")
    for member in ("matchLabelKeys", "mismatchLabelKeys"):
        for at, key in enumerate(getattr(term, member)):
            meta.label_name(errors, key, f"{path}.{member}[{at}]")
            if term.labelSelector is None:
                errors.append(forbidden(f"{path}.{member}", "must not be specified when labelSelector is not set"))
            if member == "mismatchLabelKeys" and key in term.matchLabelKeys:
                errors.append(
                    invalid(f"{path}.{member}[{at}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")
                )


def _topology_key(errors: Errors, key: str, path: str) -> None:
    if not key:
        errors.append(required(path, "can not be empty"))
    else:
        meta.label_name(errors, key, path)


def tolerations(errors: Errors, wanted: Sequence[core_v1.Toleration], path: str) -> None:
    for at, toleration in enumerate(wanted):
        below = f"{path}[{at}]"
        key, operator = toleration.key or "", toleration.operator or ""
        if key:
            meta.label_name(errors, key, f"{below}.key")
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{below}.operator", operator, text))
        if toleration.tolerationSeconds is not None and toleration.effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{below}.effect", toleration.effect or "", text))
        if operator in ("Equal", ""):
            if problems := names.label_value(toleration.value or ""):
                errors.append(invalid(f"{below}.operator", toleration.value, ";".join(problems)))
        elif operator == "Exists":
            if toleration.value:
                text = "value must be empty when `operator` is 'Exists'"
                errors.append(invalid(f"{below}.operator", toleration, text))
        else:
            errors.append(not_supported(f"{below}.operator", operator, ("Equal", "Exists")))
        choice(errors, toleration.effect, EFFECTS, f"{below}.effect")


def topology_spread(errors: Errors, wanted: Sequence[core_v1.TopologySpreadConstraint], path: str) -> None:
    seen: set[tuple[str, str]] = set()
    for at, constraint in enumerate(wanted):
        below = f"{path}[{at}]"
        if constraint.maxSkew <= 0:
            errors.append(invalid(f"{below}.maxSkew", constraint.maxSkew, "must be greater than zero"))
        _topology_key(errors, constraint.topologyKey, f"{below}.topologyKey")
        mode = constraint.whenUnsatisfiable
        if mode not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.append(not_supported(f"{below}.whenUnsatisfiable", mode, ("DoNotSchedule", "ScheduleAnyway")))
        pair = (constraint.topologyKey, mode)
        if pair in seen:
            where = f"{below}.{{topologyKey, whenUnsatisfiable}}"
            errors.append(duplicate(where, f"{{{pair[0]}, {pair[1]}}}"))
        seen.add(pair)
        if constraint.minDomains is not None:
            _min_domains(errors, constraint.minDomains, mode, f"{below}.minDomains")
        choice(errors, constraint.nodeAffinityPolicy, ("Honor", "Ignore"), f"{below}.nodeAffinityPolicy")
        choice(errors, constraint.nodeTaintsPolicy, ("Honor", "Ignore"), f"{below}.nodeTaintsPolicy")
        label_selector(errors, constraint.labelSelector, f"{below}.labelSelector")
        for index, key in enumerate(constraint.matchLabelKeys):
            meta.label_name(errors, key, f"{below}.matchLabelKeys[{index}]")


def _min_domains(errors: Errors, number: int, mode: str, path: str) -> None:
    if number <= 0:
        errors.append(invalid(path, number, "must be greater than zero"))
    if mode != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {mode}"
        errors.append(invalid(path, number, text))
