"""Defaults of services; addresses, node ports and IP families are the server's to allocate."""

from __future__ import annotations

from sampan.api.defaults.document import Document, each, fill, given, section

AFFINITY_SECONDS = 10800


def default_service(service: Document) -> None:
    spec = section(service, "spec")
    fill(spec, "type", "ClusterIP")
    fill(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        client = section(section(spec, "sessionAffinityConfig"), "clientIP")
        if client.get("timeoutSeconds") is None:
            client["timeoutSeconds"] = AFFINITY_SECONDS
    for port in each(spec, "ports"):
        fill(port, "protocol", "TCP")
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] in ("NodePort", "LoadBalancer") or (spec["type"] == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, "externalTrafficPolicy", "Cluster")
    if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer"):
        fill(spec, "internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for address in each(given(given(service, "status") or {}, "loadBalancer") or {}, "ingress"):
            if address.get("ip"):
                fill(address, "ipMode", "VIP")
