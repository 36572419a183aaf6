"""Rules of small kinds: disruption budgets, priorities, leases, endpoint slices, runtime classes."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, required
from sampan.api.types import coordination_v1, discovery_v1, node_v1, policy_v1, scheduling_v1
from sampan.api.validation import checks
from sampan.api.validation.affinity import tolerations
from sampan.api.validation.checks import Errors, choice
from sampan.api.validation.service import PROTOCOLS

HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
MAX_ENDPOINTS = 1000


def validate_pod_disruption_budget(obj: policy_v1.PodDisruptionBudget) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    if spec.minAvailable is not None and spec.maxUnavailable is not None:
        errors.append(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for member in ("minAvailable", "maxUnavailable"):
        value = getattr(spec, member)
        if value is not None:
            checks.int_or_percent(errors, value, f"spec.{member}")
            checks.at_most_100(errors, value, f"spec.{member}")
    where = "spec.unhealthyPodEvictionPolicy"
    choice(errors, spec.unhealthyPodEvictionPolicy, ("AlwaysAllow", "IfHealthyBudget"), where)
    checks.label_selector(errors, spec.selector, "spec.selector")
    return errors


def validate_priority_class(obj: scheduling_v1.PriorityClass) -> list[FieldError]:
    errors: Errors = []
    name = obj.metadata.name or ""
    if name.startswith("system-"):
        known = _SYSTEM.get(name)
        if known is None or obj.value != known or obj.globalDefault:
            text = (
                "priority class names with 'system-' prefix are reserved for system use only. error: "
                f"{name} is not a known system priority class"
            )
            errors.append(forbidden("metadata.name", text))
    elif (obj.value or 0) > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden("value", text))
    choice(errors, obj.preemptionPolicy, ("Never", "PreemptLowerPriority"), "preemptionPolicy", needed=True)
    return errors


def validate_priority_class_update(
    new: scheduling_v1.PriorityClass, old: scheduling_v1.PriorityClass
) -> list[FieldError]:
    errors: Errors = []
    if (new.value or 0) != (old.value or 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    checks.unchanged(errors, new.preemptionPolicy, old.preemptionPolicy, "preemptionPolicy")
    return errors


def validate_lease(obj: coordination_v1.Lease) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    if spec.leaseDurationSeconds is not None and spec.leaseDurationSeconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, "must be greater than 0"))
    checks.not_negative(errors, spec.leaseTransitions, "spec.leaseTransitions")
    if spec.strategy is not None:
        checks.named(errors, spec.strategy, "spec.strategy", names.qualified_name)
    if spec.preferredHolder and not spec.strategy:
        text = "may only be specified if `strategy` is defined"
        errors.append(forbidden("spec.preferredHolder", text))
    return errors


def validate_endpoint_slice(obj: discovery_v1.EndpointSlice) -> list[FieldError]:
    errors: Errors = []
    choice(errors, obj.addressType, ("FQDN", "IPv4", "IPv6"), "addressType", needed=True)
    if len(obj.endpoints) > MAX_ENDPOINTS:
        text = f"must have at most {MAX_ENDPOINTS} items"
        errors.append(FieldError("FieldValueTooMany", "endpoints", len(obj.endpoints), text))
        return errors
    for at, endpoint in enumerate(obj.endpoints):
        _endpoint(errors, endpoint, obj.addressType, f"endpoints[{at}]")
    seen: set[str] = set()
    for at, port in enumerate(obj.ports):
        path = f"ports[{at}]"
        if port.name:
            checks.named(errors, port.name, f"{path}.name")
        if (port.name or "") in seen:
            errors.append(duplicate(f"{path}.name", port.name or ""))
        seen.add(port.name or "")
        choice(errors, port.protocol, PROTOCOLS, f"{path}.protocol", needed=True)
        if port.port is not None:
            errors += [invalid(f"{path}.port", port.port, text) for text in names.port_number(port.port)]
        if port.appProtocol:
            checks.named(errors, port.appProtocol, f"{path}.appProtocol", names.qualified_name)
    return errors


def _endpoint(errors: Errors, endpoint: discovery_v1.Endpoint, family: str, path: str) -> None:
    if not endpoint.addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(endpoint.addresses) > 100:
        text = "must have at most 100 items"
        errors.append(FieldError("FieldValueTooMany", f"{path}.addresses", len(endpoint.addresses), text))
    for at, address in enumerate(endpoint.addresses):
        where = f"{path}.addresses[{at}]"
        if family == "FQDN":
            checks.named(errors, address, where, names.dns_subdomain)
        elif not checks.is_ip(address) or (":" in address) is not (family == "IPv6"):
            word = "IPv6 address, (e.g. 2001:db8::ffff)" if family == "IPv6" else "IPv4 address, (e.g. 10.9.8.7)"
            errors.append(invalid(where, address, f"must be a valid {word}"))
        else:
            checks.reachable(errors, address, where)
    if endpoint.nodeName is not None:
        checks.named(errors, endpoint.nodeName, f"{path}.nodeName", names.dns_subdomain)
    if endpoint.hostname is not None:
        checks.named(errors, endpoint.hostname, f"{path}.hostname")


def validate_endpoint_slice_update(
    new: discovery_v1.EndpointSlice, old: discovery_v1.EndpointSlice
) -> list[FieldError]:
    errors: Errors = []
    checks.unchanged(errors, new.addressType, old.addressType, "addressType")
    return errors


def validate_runtime_class(obj: node_v1.RuntimeClass) -> list[FieldError]:
    errors: Errors = []
    checks.named(errors, obj.handler, "handler")
    if obj.scheduling is not None:
        tolerations(errors, obj.scheduling.tolerations, "scheduling.tolerations")
    return errors


def validate_runtime_class_update(new: node_v1.RuntimeClass, old: node_v1.RuntimeClass) -> list[FieldError]:
    errors: Errors = []
    checks.unchanged(errors, new.handler, old.handler, "handler")
    return errors
