"""Rules of Services."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, required
from sampan.api.types import core_v1
from sampan.api.validation import checks, meta
from sampan.api.validation.checks import Errors, choice

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_TRAFFIC = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_MAX_AFFINITY = 86400
_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


def validate_service(service: core_v1.Service) -> list[FieldError]:
    errors: Errors = []
    spec = service.spec
    if not spec.ports and not _is_headless(spec) and spec.type != "ExternalName":
        errors.append(required("spec.ports"))
    _type(errors, spec)
    _ports(errors, spec)
    if spec.selector:
        meta.labels(errors, spec.selector, "spec.selector")
    _affinity(errors, spec)
    _addresses(errors, spec)
    _traffic(errors, spec)
    return errors


def _is_headless(spec: core_v1.ServiceSpec) -> bool:
    return spec.clusterIP == "None" or "None" in spec.clusterIPs


def _type(errors: Errors, spec: core_v1.ServiceSpec) -> None:
    if spec.type == "LoadBalancer" and _is_headless(spec):
        text = "may not be set to 'None' for LoadBalancer services"
        errors.append(invalid("spec.clusterIPs[0]", "None", text))
    elif spec.type == "NodePort" and _is_headless(spec):
        errors.append(invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services"))
    elif spec.type == "ExternalName":
        if spec.clusterIP:
            errors.append(forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
        name = (spec.externalName or "").removesuffix(".")
        if name:
            checks.named(errors, name, "spec.externalName", names.dns_subdomain)
        else:
            errors.append(required("spec.externalName"))
    choice(errors, spec.type, TYPES, "spec.type", needed=True)


def _ports(errors: Errors, spec: core_v1.ServiceSpec) -> None:
    seen_names: set[str] = set()
    seen_ports: set[tuple[str | None, int]] = set()
    seen_node_ports: set[tuple[str | None, int]] = set()
    for at, port in enumerate(spec.ports):
        path = f"spec.ports[{at}]"
        if not port.name:
            if len(spec.ports) > 1:
                errors.append(required(f"{path}.name"))
        elif problems := names.dns_label(port.name):
            errors += [invalid(f"{path}.name", port.name, text) for text in problems]
        elif port.name in seen_names:
            errors.append(duplicate(f"{path}.name", port.name))
        seen_names.add(port.name or "")
        errors += [invalid(f"{path}.port", port.port, text) for text in names.port_number(port.port)]
        choice(errors, port.protocol, PROTOCOLS, f"{path}.protocol", needed=True)
        if port.targetPort is not None:
            checks.port(errors, port.targetPort, f"{path}.targetPort")
        if port.appProtocol:
            checks.named(errors, port.appProtocol, f"{path}.appProtocol", names.qualified_name)
        _node_port(errors, spec, port, path, seen_node_ports)
        key = (port.protocol, port.port)
        if key in seen_ports:
            errors.append(duplicate(path, port))
        seen_ports.add(key)


def _node_port(
    errors: Errors,
    spec: core_v1.ServiceSpec,
    port: core_v1.ServicePort,
    path: str,
    seen: set[tuple[str | None, int]],
) -> None:
    if not port.nodePort:
        return
    if spec.type not in _NODE_PORT_TYPES:
        errors.append(forbidden(f"{path}.nodePort", f"may not be used when `type` is '{spec.type}'"))
    errors += [invalid(f"{path}.nodePort", port.nodePort, text) for text in names.port_number(port.nodePort)]
    key = (port.protocol, port.nodePort)
    if key in seen:
        errors.append(duplicate(f"{path}.nodePort", port.nodePort))
    seen.add(key)


def _affinity(errors: Errors, spec: core_v1.ServiceSpec) -> None:
    choice(errors, spec.sessionAffinity, ("ClientIP", "None"), "spec.sessionAffinity", needed=True)
    config = spec.sessionAffinityConfig
    if spec.sessionAffinity == "ClientIP":
        seconds = config.clientIP.timeoutSeconds if config is not None and config.clientIP is not None else None
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        if seconds is None:
            errors.append(required("spec.sessionAffinityConfig", "when session affinity type is ClientIP"))
        elif not 0 < seconds <= _MAX_AFFINITY:
            errors.append(invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY}"))
    elif spec.sessionAffinity == "None" and config is not None:
        text = "must not be set when session affinity is None"
        errors.append(forbidden("spec.sessionAffinityConfig", text))


def _addresses(errors: Errors, spec: core_v1.ServiceSpec) -> None:
    if spec.clusterIP and spec.type != "ExternalName":
        if not spec.clusterIPs:
            errors.append(required("spec.clusterIPs"))
        elif spec.clusterIPs[0] != spec.clusterIP:
            errors.append(invalid("spec.clusterIPs", spec.clusterIPs, "first value must match `clusterIP`"))
    for at, address in enumerate(spec.clusterIPs):
        if address == "None":
            if at or len(spec.clusterIPs) > 1:
                text = "must be unset, or contain only 'None' for headless services"
                errors.append(invalid(f"spec.clusterIPs[{at}]", address, text))
        elif spec.type != "ExternalName":
            checks.ip(errors, address, f"spec.clusterIPs[{at}]")
    if len(spec.clusterIPs) > 2:
        errors.append(invalid("spec.clusterIPs", spec.clusterIPs, "may only hold up to 2 values"))
    for at, family in enumerate(spec.ipFamilies):
        choice(errors, family, _FAMILIES, f"spec.ipFamilies[{at}]", needed=True)
        if family in spec.ipFamilies[:at]:
            errors.append(duplicate(f"spec.ipFamilies[{at}]", family))
    choice(errors, spec.ipFamilyPolicy, _POLICIES, "spec.ipFamilyPolicy")
    for at, address in enumerate(spec.externalIPs):
        checks.reachable(errors, address, f"spec.externalIPs[{at}]")


def _traffic(errors: Errors, spec: core_v1.ServiceSpec) -> None:
    exposed = spec.type in _NODE_PORT_TYPES or (spec.type == "ClusterIP" and bool(spec.externalIPs))
    if spec.externalTrafficPolicy:
        if exposed:
            choice(errors, spec.externalTrafficPolicy, _TRAFFIC, "spec.externalTrafficPolicy")
        else:
            text = "may only be set for externally-accessible services"
            errors.append(invalid("spec.externalTrafficPolicy", spec.externalTrafficPolicy, text))
    if spec.healthCheckNodePort and not (spec.type == "LoadBalancer" and spec.externalTrafficPolicy == "Local"):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", spec.healthCheckNodePort, text))
    choice(errors, spec.internalTrafficPolicy, _TRAFFIC, "spec.internalTrafficPolicy")
    choice(errors, spec.trafficDistribution, _DISTRIBUTIONS, "spec.trafficDistribution")
    if spec.loadBalancerSourceRanges:
        if spec.type != "LoadBalancer":
            errors.append(forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'"))
        for at, text in enumerate(spec.loadBalancerSourceRanges):
            checks.cidr(errors, text.strip(), f"spec.loadBalancerSourceRanges[{at}]")
    if spec.allocateLoadBalancerNodePorts is not None and spec.type != "LoadBalancer":
        text = "may only be used when `type` is 'LoadBalancer'"
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", text))
    if spec.loadBalancerClass:
        if spec.type != "LoadBalancer":
            errors.append(forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"))
        checks.named(errors, spec.loadBalancerClass, "spec.loadBalancerClass", names.qualified_name)


def validate_service_update(new: core_v1.Service, old: core_v1.Service) -> list[FieldError]:
    errors: Errors = []
    was, now = old.spec, new.spec
    if "ExternalName" not in (was.type, now.type) and was.clusterIP and now.clusterIP != was.clusterIP:
        errors.append(invalid("spec.clusterIPs[0]", _first(now), "may not change once set"))
    if was.type == "LoadBalancer" == now.type and now.loadBalancerClass != was.loadBalancerClass:
        errors.append(invalid("spec.loadBalancerClass", now.loadBalancerClass, "may not change once set"))
    if was.type == now.type and now.ipFamilies and was.ipFamilies and now.ipFamilies[0] != was.ipFamilies[0]:
        errors.append(invalid("spec.ipFamilies[0]", now.ipFamilies, "may not change once set"))
    return errors


def _first(spec: core_v1.ServiceSpec) -> Sequence[str]:
    return spec.clusterIPs or ((spec.clusterIP,) if spec.clusterIP else ())
