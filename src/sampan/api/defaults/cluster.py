"""Defaults of the kinds that configure a cluster: networking, storage, RBAC, extension and the like."""

from __future__ import annotations

from sampan.api.defaults.document import Document, each, fill, fill_number, given, section

RBAC = "rbac.authorization.k8s.io"


def default_autoscaler_v1(autoscaler: Document) -> None:
    fill(section(autoscaler, "spec"), "minReplicas", 1)


def default_autoscaler(autoscaler: Document) -> None:
    spec = section(autoscaler, "spec")
    fill(spec, "minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = given(spec, "behavior")
    if behavior is None:
        return
    up = section(behavior, "scaleUp")
    fill(up, "stabilizationWindowSeconds", 0)
    fill(up, "selectPolicy", "Max")
    fill(up, "policies", [_policy("Pods", 4), _policy("Percent", 100)])
    down = section(behavior, "scaleDown")
    fill(down, "selectPolicy", "Max")
    fill(down, "policies", [_policy("Percent", 100)])


def _policy(type: str, value: int) -> Document:
    return {"type": type, "value": value, "periodSeconds": 15}


def default_network_policy(policy: Document) -> None:
    spec = section(policy, "spec")
    for direction in ("ingress", "egress"):
        for rule in each(spec, direction):
            for port in each(rule, "ports"):
                fill(port, "protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def default_ingress_class(ingress_class: Document) -> None:
    parameters = given(given(ingress_class, "spec") or {}, "parameters")
    if parameters is not None:
        fill(parameters, "scope", "Cluster")


def default_endpoint_slice(endpoint_slice: Document) -> None:
    for port in each(endpoint_slice, "ports"):
        if port.get("name") is None:
            port["name"] = ""
        fill(port, "protocol", "TCP")


def default_storage_class(storage_class: Document) -> None:
    fill(storage_class, "reclaimPolicy", "Delete")
    fill(storage_class, "volumeBindingMode", "Immediate")


def default_csi_driver(driver: Document) -> None:
    spec = section(driver, "spec")
    fill(spec, "attachRequired", True)
    for name in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"):
        fill(spec, name, False)
    fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def default_role_binding(binding: Document) -> None:
    fill(section(binding, "roleRef"), "apiGroup", RBAC)
    for subject in each(binding, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, "apiGroup", RBAC)


def default_priority_class(priority_class: Document) -> None:
    fill(priority_class, "preemptionPolicy", "PreemptLowerPriority")


def _default_webhook(webhook: Document) -> None:
    fill(webhook, "failurePolicy", "Fail")
    fill(webhook, "matchPolicy", "Equivalent")
    _default_match(webhook)
    fill(webhook, "timeoutSeconds", 10)
    _default_service_port(given(webhook, "clientConfig"))


def _default_match(match: Document, rules: str = "rules") -> None:
    section(match, "namespaceSelector")
    section(match, "objectSelector")
    for rule in each(match, rules):
        fill(rule, "scope", "*")


def _default_service_port(client: Document | None) -> None:
    service = given(client or {}, "service")
    if service is not None:
        fill(service, "port", 443)


def default_validating_webhooks(configuration: Document) -> None:
    for webhook in each(configuration, "webhooks"):
        _default_webhook(webhook)


def default_mutating_webhooks(configuration: Document) -> None:
    for webhook in each(configuration, "webhooks"):
        _default_webhook(webhook)
        fill(webhook, "reinvocationPolicy", "Never")


def default_admission_policy(policy: Document) -> None:
    spec = section(policy, "spec")
    fill(spec, "failurePolicy", "Fail")
    constraints = given(spec, "matchConstraints")
    if constraints is not None:
        _default_match_resources(constraints)


def default_admission_policy_binding(binding: Document) -> None:
    resources = given(given(binding, "spec") or {}, "matchResources")
    if resources is not None:
        _default_match_resources(resources)


def _default_match_resources(match: Document) -> None:
    fill(match, "matchPolicy", "Equivalent")
    _default_match(match, "resourceRules")
    for rule in each(match, "excludeResourceRules"):
        fill(rule, "scope", "*")


def default_custom_resource_definition(definition: Document) -> None:
    spec = section(definition, "spec")
    names = section(spec, "names")
    kind = names.get("kind")
    if isinstance(kind, str) and kind:
        fill(names, "singular", kind.lower())
        fill(names, "listKind", f"{kind}List")
    conversion = section(spec, "conversion")
    fill(conversion, "strategy", "None")
    _default_service_port(given(given(conversion, "webhook") or {}, "clientConfig"))


def default_api_service(service: Document) -> None:
    _default_service_port(given(service, "spec"))


def default_flow_schema(schema: Document) -> None:
    fill_number(section(schema, "spec"), "matchingPrecedence", 1000)


def default_priority_level(level: Document) -> None:
    spec = section(level, "spec")
    exempt = given(spec, "exempt")
    if exempt is not None:
        fill(exempt, "nominalConcurrencyShares", 0)
        fill(exempt, "lendablePercent", 0)
    limited = given(spec, "limited")
    if limited is None:
        return
    fill(limited, "nominalConcurrencyShares", 30)
    fill(limited, "lendablePercent", 0)
    queuing = given(given(limited, "limitResponse") or {}, "queuing")
    if queuing is not None:
        fill_number(queuing, "queues", 64)
        fill_number(queuing, "handSize", 8)
        fill_number(queuing, "queueLengthLimit", 50)


def default_resource_claim(claim: Document) -> None:
    _default_devices(section(claim, "spec"))


def default_resource_claim_template(template: Document) -> None:
    _default_devices(section(section(template, "spec"), "spec"))


def _default_devices(spec: Document) -> None:
    for request in each(given(spec, "devices") or {}, "requests"):
        exactly = given(request, "exactly")
        for one in [*([exactly] if exactly else []), *each(request, "firstAvailable")]:
            fill(one, "allocationMode", "ExactCount")
            if one["allocationMode"] == "ExactCount":
                fill_number(one, "count", 1)
            for toleration in each(one, "tolerations"):
                fill(toleration, "operator", "Equal")
