"""Rules of Ingresses, IngressClasses, NetworkPolicies, Endpoints and addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import FieldError, forbidden, invalid, not_supported, required
from sampan.api.types import core_v1, networking_v1
from sampan.api.validation import checks
from sampan.api.validation.checks import Errors, choice
from sampan.api.validation.meta import IMMUTABLE
from sampan.api.validation.service import PROTOCOLS

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_PATH_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_PATH_ENDS = ("/..", "/.")


def validate_ingress(obj: networking_v1.Ingress) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    if not spec.rules and spec.defaultBackend is None:
        errors.append(invalid("spec", spec.rules, "either `defaultBackend` or `rules` must be specified"))
    if spec.defaultBackend is not None:
        _backend(errors, spec.defaultBackend, "spec.defaultBackend")
    for at, rule in enumerate(spec.rules):
        _rule(errors, rule, f"spec.rules[{at}]")
    for at, tls in enumerate(spec.tls):
        for index, host in enumerate(tls.hosts):
            _host(errors, host, f"spec.tls[{at}].hosts[{index}]")
        if tls.secretName:
            checks.named(errors, tls.secretName, f"spec.tls[{at}].secretName", names.dns_subdomain)
    if spec.ingressClassName is not None:
        checks.named(errors, spec.ingressClassName, "spec.ingressClassName", names.dns_subdomain)
        if "kubernetes.io/ingress.class" in obj.metadata.annotations:
            path = "metadata.annotations.kubernetes.io/ingress.class"
            text = "can not be set when the class field is also set"
            errors.append(invalid(path, obj.metadata.annotations["kubernetes.io/ingress.class"], text))
    return errors


def _host(errors: Errors, host: str, path: str) -> None:
    rule = names.wildcard_subdomain if "*" in host else names.dns_subdomain
    checks.named(errors, host, path, rule)


def _rule(errors: Errors, rule: networking_v1.IngressRule, path: str) -> None:
    if rule.host:
        if checks.is_ip(rule.host):
            errors.append(invalid(f"{path}.host", rule.host, "must be a DNS name, not an IP address"))
        _host(errors, rule.host, f"{path}.host")
    if rule.http is None:
        return
    if not rule.http.paths:
        errors.append(required(f"{path}.http.paths"))
    for at, item in enumerate(rule.http.paths):
        below = f"{path}.http.paths[{at}]"
        _http_path(errors, item, below)
        _backend(errors, item.backend, f"{below}.backend")


def _http_path(errors: Errors, item: networking_v1.HTTPIngressPath, path: str) -> None:
    text = item.path or ""
    if not item.pathType:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
    elif item.pathType not in _PATH_TYPES:
        errors.append(not_supported(f"{path}.pathType", item.pathType, _PATH_TYPES))
    elif item.pathType == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
    else:
        if not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
        for part in _PATH_PARTS:
            if part in text:
                errors.append(invalid(f"{path}.path", text, f"must not contain '{part}'"))
        for end in _PATH_ENDS:
            if text.endswith(end):
                errors.append(invalid(f"{path}.path", text, f"cannot end with '{end}'"))


def _backend(errors: Errors, backend: networking_v1.IngressBackend, path: str) -> None:
    service, resource = backend.service, backend.resource
    if service is not None and resource is not None:
        errors.append(invalid(path, "", "cannot set both resource and service backends"))
    elif service is not None:
        if not service.name:
            errors.append(required(f"{path}.service.name"))
        else:
            checks.named(errors, service.name, f"{path}.service.name", names.dns1035_label)
        port = service.port or networking_v1.ServiceBackendPort()
        if port.name and port.number:
            errors.append(invalid(f"{path}.service.port", "", "cannot set both port name & port number"))
        elif port.name:
            checks.named(errors, port.name, f"{path}.service.port.name", names.port_name)
        elif port.number:
            where = f"{path}.service.port.number"
            errors += [invalid(where, port.number, text) for text in names.port_number(port.number)]
        else:
            errors.append(required(path, "port name or number is required"))
    elif resource is not None:
        for member in ("kind", "name"):
            if not getattr(resource, member):
                errors.append(required(f"{path}.resource.{member}"))
    else:
        errors.append(required(path, "resource or service backend is required"))


def validate_ingress_class(obj: networking_v1.IngressClass) -> list[FieldError]:
    errors: Errors = []
    controller = obj.spec.controller or ""
    domain, slash, rest = controller.partition("/")
    if len(controller) > 250:
        errors.append(FieldError("FieldValueTooLong", "spec.controller", "", "may not be more than 250 bytes"))
    if not controller:
        errors.append(required("spec.controller"))
    elif not (domain and slash and rest):
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errors.append(invalid("spec.controller", controller, text))
    else:
        checks.named(errors, domain, "spec.controller", names.dns_subdomain)
    parameters = obj.spec.parameters
    if parameters is None:
        return errors
    for member in ("kind", "name"):
        if not getattr(parameters, member):
            errors.append(required(f"spec.parameters.{member}"))
    choice(errors, parameters.scope, ("Cluster", "Namespace"), "spec.parameters.scope", needed=True)
    if parameters.scope == "Namespace" and not parameters.namespace:
        text = "`parameters.scope` is set to 'Namespace'"
        errors.append(required("spec.parameters.namespace", text))
    elif parameters.scope == "Cluster" and parameters.namespace:
        text = "`parameters.scope` is set to 'Cluster'"
        errors.append(forbidden("spec.parameters.namespace", text))
    return errors


def validate_ingress_class_update(new: networking_v1.IngressClass, old: networking_v1.IngressClass) -> list[FieldError]:
    errors: Errors = []
    checks.unchanged(errors, new.spec.controller, old.spec.controller, "spec.controller")
    return errors


# --- NetworkPolicy ----------------------------------------------------------------------------------------------------


def validate_network_policy(obj: networking_v1.NetworkPolicy) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    checks.label_selector(errors, spec.podSelector, "spec.podSelector")
    for at, ingress in enumerate(spec.ingress):
        _policy_ports(errors, ingress.ports, f"spec.ingress[{at}].ports")
        _peers(errors, ingress.from_, f"spec.ingress[{at}].from")
    for at, egress in enumerate(spec.egress):
        _policy_ports(errors, egress.ports, f"spec.egress[{at}].ports")
        _peers(errors, egress.to, f"spec.egress[{at}].to")
    if len(spec.policyTypes) > 2:
        text = "may not specify more than two policyTypes"
        errors.append(invalid("spec.policyTypes", spec.policyTypes, text))
        return errors
    for at, name in enumerate(spec.policyTypes):
        choice(errors, name, ("Egress", "Ingress"), f"spec.policyTypes[{at}]", needed=True)
    return errors


def _policy_ports(errors: Errors, ports: Sequence[networking_v1.NetworkPolicyPort], path: str) -> None:
    for at, port in enumerate(ports):
        below = f"{path}[{at}]"
        choice(errors, port.protocol, PROTOCOLS, f"{below}.protocol")
        if port.port is None:
            if port.endPort is not None:
                errors.append(required(f"{below}.port", "must be specified when `endPort` is specified"))
            continue
        checks.port(errors, port.port, f"{below}.port")
        if port.endPort is None:
            continue
        if isinstance(port.port, str):
            text = "must not be specified when `port` is non-numeric"
            errors.append(invalid(f"{below}.endPort", port.endPort, text))
        elif port.endPort < port.port:
            text = "must be greater than or equal to `port`"
            errors.append(invalid(f"{below}.endPort", port.endPort, text))
        errors += [invalid(f"{below}.endPort", port.endPort, text) for text in names.port_number(port.endPort)]


def _peers(errors: Errors, peers: Sequence[networking_v1.NetworkPolicyPeer], path: str) -> None:
    for at, peer in enumerate(peers):
        below = f"{path}[{at}]"
        checks.label_selector(errors, peer.podSelector, f"{below}.podSelector")
        checks.label_selector(errors, peer.namespaceSelector, f"{below}.namespaceSelector")
        if peer.ipBlock is not None:
            _block(errors, peer.ipBlock, f"{below}.ipBlock")
            if peer.podSelector is not None or peer.namespaceSelector is not None:
                errors.append(forbidden(below, "may not specify both ipBlock and another peer"))
        elif peer.podSelector is None and peer.namespaceSelector is None:
            errors.append(required(below, "must specify a peer"))


def _block(errors: Errors, block: networking_v1.IPBlock, path: str) -> None:
    if not block.cidr:
        errors.append(required(f"{path}.cidr"))
        return
    if not checks.is_cidr(block.cidr):
        errors.append(invalid(f"{path}.cidr", block.cidr, "not a valid CIDR"))
        return
    outer = ipaddress.ip_network(block.cidr, strict=False)
    for at, text in enumerate(block.except_):
        where = f"{path}.except[{at}]"
        if not checks.is_cidr(text):
            errors.append(invalid(where, text, "not a valid CIDR"))
            continue
        inner = ipaddress.ip_network(text, strict=False)
        if inner.version != outer.version or inner == outer or inner.network_address not in outer:
            errors.append(invalid(where, text, "must be a strict subset of `cidr`"))


# --- Endpoints --------------------------------------------------------------------------------------------------------


def validate_endpoints(obj: core_v1.Endpoints) -> list[FieldError]:
    errors: Errors = []
    for at, subset in enumerate(obj.subsets):
        path = f"subsets[{at}]"
        if not subset.addresses and not subset.notReadyAddresses:
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for member in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(getattr(subset, member)):
                _address(errors, address, f"{path}.{member}[{index}]")
        for index, port in enumerate(subset.ports):
            below = f"{path}.ports[{index}]"
            if not port.name and len(subset.ports) > 1:
                errors.append(required(f"{below}.name"))
            elif port.name:
                checks.named(errors, port.name, f"{below}.name")
            errors += [invalid(f"{below}.port", port.port, text) for text in names.port_number(port.port)]
            choice(errors, port.protocol, PROTOCOLS, f"{below}.protocol", needed=True)
    return errors


def _address(errors: Errors, address: core_v1.EndpointAddress, path: str) -> None:
    checks.reachable(errors, address.ip, f"{path}.ip")
    if address.hostname:
        checks.named(errors, address.hostname, f"{path}.hostname")
    if address.nodeName is not None:
        checks.named(errors, address.nodeName, f"{path}.nodeName", names.dns_subdomain)


def validate_service_cidr(obj: networking_v1.ServiceCIDR) -> list[FieldError]:
    errors: Errors = []
    if not obj.spec.cidrs:
        errors.append(required("spec.cidrs", "at least one CIDR required"))
    for at, text in enumerate(obj.spec.cidrs):
        checks.cidr(errors, text, f"spec.cidrs[{at}]")
    return errors


def validate_ip_address(obj: networking_v1.IPAddress) -> list[FieldError]:
    errors: Errors = []
    checks.ip(errors, obj.metadata.name or "", "metadata.name")
    parent = obj.spec.parentRef
    for member in ("resource", "name"):
        if not getattr(parent, member):
            errors.append(required(f"spec.parentRef.{member}"))
    return errors


def validate_ip_address_update(new: networking_v1.IPAddress, old: networking_v1.IPAddress) -> list[FieldError]:
    return [] if new.spec == old.spec else [invalid("spec.parentRef", new.spec.parentRef, IMMUTABLE)]
