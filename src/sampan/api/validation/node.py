"""Rules of Nodes and Namespaces."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, required
from sampan.api.types import core_v1
from sampan.api.validation import checks, resources
from sampan.api.validation.affinity import EFFECTS
from sampan.api.validation.checks import Errors, choice


def validate_node(node: core_v1.Node) -> list[FieldError]:
    errors: Errors = []
    taints(errors, node.spec.taints, "spec.taints")
    resources.amounts(errors, node.status.capacity, "status.capacity")
    resources.amounts(errors, node.status.allocatable, "status.allocatable")
    cidrs = node.spec.podCIDRs
    for at, text in enumerate(cidrs):
        checks.cidr(errors, text, f"spec.podCIDRs[{at}]")
    if len(cidrs) > 2:
        text = "may specify no more than one CIDR for each IP family"
        errors.append(invalid("spec.podCIDRs", cidrs, text))
    if node.spec.podCIDR and cidrs and cidrs[0] != node.spec.podCIDR:
        errors.append(invalid("spec.podCIDRs[0]", cidrs[0], "must match `podCIDR`"))
    return errors


def taints(errors: Errors, wanted: Sequence[core_v1.Taint], path: str) -> None:
    seen: set[tuple[str, str]] = set()
    for at, taint in enumerate(wanted):
        below = f"{path}[{at}]"
        checks.named(errors, taint.key, f"{below}.key", names.qualified_name)
        if problems := names.label_value(taint.value or ""):
            errors.append(invalid(f"{below}.value", taint.value, ";".join(problems)))
        choice(errors, taint.effect, EFFECTS, f"{below}.effect", needed=True)
        if (taint.key, taint.effect) in seen:
            error = duplicate(below, taint)
            errors.append(error._replace(detail="taints must be unique by key and effect pair"))
        seen.add((taint.key, taint.effect))


def validate_node_update(new: core_v1.Node, old: core_v1.Node) -> list[FieldError]:
    errors: Errors = []
    if old.spec.podCIDRs and new.spec.podCIDRs != old.spec.podCIDRs:
        text = 'node updates may not change podCIDR except from "" to valid'
        errors.append(forbidden("spec.podCIDRs", text))
    if old.spec.providerID and new.spec.providerID != old.spec.providerID:
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(forbidden("spec.providerID", text))
    _addresses(errors, new)
    return errors


def _addresses(errors: Errors, node: core_v1.Node) -> None:
    seen = set()
    for at, address in enumerate(node.status.addresses):
        if address in seen:
            errors.append(duplicate(f"status.addresses[{at}]", address))
        seen.add(address)


def validate_namespace(namespace: core_v1.Namespace) -> list[FieldError]:
    errors: Errors = []
    for at, name in enumerate(namespace.spec.finalizers):
        path = f"spec.finalizers[{at}]"
        checks.named(errors, name, path, names.qualified_name)
        if "/" not in name and name not in ("kubernetes", "orphan", "foregroundDeletion"):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(path, name, text))
    return errors


def validate_namespace_status(new: core_v1.Namespace, old: core_v1.Namespace) -> list[FieldError]:
    """The phase follows deletion."""
    errors: Errors = []
    if old.metadata.deletionTimestamp is None and new.status.phase not in (None, "", "Active"):
        errors.append(invalid("status.Phase", new.status.phase, "may only be 'Active' if `deletionTimestamp` is empty"))
    elif old.metadata.deletionTimestamp is not None and new.status.phase != "Terminating":
        text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        errors.append(invalid("status.Phase", new.status.phase, text))
    return errors


def validate_event(event: core_v1.Event) -> list[FieldError]:
    errors: Errors = []
    involved = event.involvedObject.namespace or ""
    own = event.metadata.namespace or ""
    if involved != own and not (not involved and own in ("default", "kube-system")):
        text = "does not match event.namespace"
        errors.append(invalid("involvedObject.namespace", involved, text))
    if event.eventTime is None:
        return errors
    if not event.reportingComponent:
        errors.append(required("reportingController"))
    else:
        checks.named(errors, event.reportingComponent, "reportingController", names.qualified_name)
    if not event.reportingInstance:
        errors.append(required("reportingInstance"))
    elif len(event.reportingInstance) > 128:
        errors.append(invalid("reportingInstance", "", "can have at most 128 characters"))
    if not event.action:
        errors.append(required("action"))
    if not event.reason:
        errors.append(required("reason"))
    if event.message and len(event.message) > 1024:
        errors.append(invalid("message", "", "can have at most 1024 characters"))
    return errors
