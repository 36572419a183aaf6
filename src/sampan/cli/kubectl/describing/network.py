"""Services, Ingresses and Endpoints."""

from __future__ import annotations

from typing import Any

from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]

SERVICE = "kubernetes.io/service-name"


def service(write: Writer, document: Document, found: Document) -> None:
    common.metadata(write, document)
    spec = document["spec"]
    selector = spec.get("selector")
    write(0, f"Selector:\t{common.label_text(selector)}")
    write(0, f"Type:\t{spec.get('type', '')}")
    if spec.get("ipFamilyPolicy"):
        write(0, f"IP Family Policy:\t{spec['ipFamilyPolicy']}")
    if spec.get("ipFamilies"):
        write(0, f"IP Families:\t{','.join(spec['ipFamilies'])}")
    write(0, f"IP:\t{spec.get('clusterIP', '')}")
    addresses = spec.get("clusterIPs") or ()
    write(0, f"IPs:\t{','.join(addresses) or common.NONE}")
    if spec.get("externalIPs"):
        write(0, f"External IPs:\t{','.join(spec['externalIPs'])}")
    if spec.get("loadBalancerIP"):
        write(0, f"Desired LoadBalancer IP:\t{spec['loadBalancerIP']}")
    if spec.get("externalName"):
        write(0, f"External Name:\t{spec['externalName']}")
    balanced = ((document.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if balanced:
        write(0, f"LoadBalancer Ingress:\t{', '.join(each.get('ip') or each.get('hostname', '') for each in balanced)}")
    for port in spec.get("ports") or ():
        name = port.get("name") or "<unset>"
        protocol = port.get("protocol", "TCP")
        write(0, f"Port:\t{name}\t{port['port']}/{protocol}")
        write(0, f"TargetPort:\t{port.get('targetPort', port['port'])}/{protocol}")
        if port.get("nodePort"):
            write(0, f"NodePort:\t{name}\t{port['nodePort']}/{protocol}")
        write(0, f"Endpoints:\t{_endpoints(found['slices'], port)}")
    write(0, f"Session Affinity:\t{spec.get('sessionAffinity', 'None')}")
    if spec.get("externalTrafficPolicy"):
        write(0, f"External Traffic Policy:\t{spec['externalTrafficPolicy']}")
    if spec.get("internalTrafficPolicy"):
        write(0, f"Internal Traffic Policy:\t{spec['internalTrafficPolicy']}")
    if spec.get("trafficDistribution"):
        write(0, f"Traffic Distribution:\t{spec['trafficDistribution']}")
    if spec.get("healthCheckNodePort"):
        write(0, f"HealthCheck NodePort:\t{spec['healthCheckNodePort']}")
    if spec.get("loadBalancerSourceRanges"):
        write(0, f"LoadBalancer Source Ranges:\t{','.join(spec['loadBalancerSourceRanges'])}")
    common.events(write, found["events"])


def _endpoints(slices: list[Document], port: Document) -> str:
    """Three addresses, and how many more there are."""
    found = []
    for each in slices:
        for candidate in each.get("ports") or ():
            if (candidate.get("name") or "") == (port.get("name") or ""):
                for endpoint in each.get("endpoints") or ():
                    if (endpoint.get("conditions") or {}).get("ready", True):
                        address = endpoint["addresses"][0]
                        found.append(f"{f'[{address}]' if ':' in address else address}:{candidate.get('port', '')}")
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more


def ingress(write: Writer, document: Document, found: Document) -> None:
    meta, spec = document["metadata"], document["spec"]
    write(0, f"Name:\t{meta['name']}")
    common.pairs(write, "Labels", meta.get("labels"))
    write(0, f"Namespace:\t{meta['namespace']}")
    balanced = ((document.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    write(0, f"Address:\t{','.join(each.get('ip') or each.get('hostname', '') for each in balanced)}")
    write(0, f"Ingress Class:\t{spec.get('ingressClassName') or common.NONE}")
    default = spec.get("defaultBackend")
    slices = found["slices"]
    write(0, f"Default backend:\t{_backend(default, slices) if default else '<default>'}")
    if spec.get("tls"):
        write(0, "TLS:")
        for each in spec["tls"]:
            hosts = ",".join(each.get("hosts") or ())
            end = f"terminates {hosts}" if hosts else "terminates"
            write(1, f"{each['secretName']} {end}" if each.get("secretName") else f"SNI routes {hosts}")
    write(0, "Rules:")
    write(1, "Host\tPath\tBackends")
    write(1, "----\t----\t--------")
    for rule in spec.get("rules") or ():
        write(1, f"{rule.get('host') or '*'}\t")
        for path in (rule.get("http") or {}).get("paths") or ():
            write(1, f"\t{path.get('path', '')} \t{_backend(path['backend'], slices)}")
    if not spec.get("rules"):
        write(1, f"*\t*\t{_backend(default, slices) if default else '<default>'}")
    common.notes(write, meta.get("annotations"))
    common.events(write, found["events"])


def _backend(backend: Document, slices: list[Document]) -> str:
    """`web:80 (10.244.0.2:8080)`: with the endpoints behind it."""
    if "resource" in backend:
        reference = backend["resource"]
        return f"APIGroup: {reference.get('apiGroup', '')}, Kind: {reference['kind']}, Name: {reference['name']}"
    service = backend["service"]
    port = service.get("port") or {}
    mine = [s for s in slices if (s["metadata"].get("labels") or {}).get(SERVICE) == service["name"]]
    if not mine:
        behind = f'<error: services "{service["name"]}" not found>'
    else:
        behind = _endpoints(mine, {"name": port.get("name") or ""})
    return f"{service['name']}:{port.get('name') or port.get('number', '')} ({behind})"


def endpoints(write: Writer, document: Document, found: Document) -> None:
    common.metadata(write, document)
    write(0, "Subsets:")
    for subset in document.get("subsets") or ():
        for title, field in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            write(1, f"{title}:\t{','.join(each['ip'] for each in subset.get(field) or ()) or common.NONE}")
        if subset.get("ports"):
            write(1, "Ports:")
            write(2, "Name\tPort\tProtocol")
            write(2, "----\t----\t--------")
            for port in subset["ports"]:
                write(2, f"{port.get('name') or '<unset>'}\t{port['port']}\t{port.get('protocol', 'TCP')}")
    write(0)
    common.events(write, found["events"])


def endpointslice(write: Writer, document: Document, found: Document) -> None:
    common.metadata(write, document)
    write(0, f"AddressType:\t{document['addressType']}")
    ports = document.get("ports") or ()
    if not ports:
        write(0, "Ports: <unset>")
    else:
        write(0, "Ports:")
        write(1, "Name\tPort\tProtocol")
        write(1, "----\t----\t--------")
        for port in ports:
            write(1, f"{port.get('name') or '<unset>'}\t{port.get('port', '<unset>')}\t{port.get('protocol', 'TCP')}")
    endpoints_ = document.get("endpoints") or ()
    write(0, "Endpoints:" if endpoints_ else "Endpoints: <none>")
    for each in endpoints_:
        target = each.get("targetRef")
        write(1, f"- Addresses:\t{','.join(each['addresses'])}")
        write(2, "Conditions:")
        write(3, f"Ready:\t{str((each.get('conditions') or {}).get('ready', '<unset>')).lower()}")
        write(2, f"Hostname:\t{each.get('hostname', '<unset>')}")
        if target:
            write(2, f"TargetRef:\t{target['kind']}/{target['name']}")
        write(2, f"NodeName:\t{each.get('nodeName', '<unset>')}")
        write(2, f"Zone:\t{each.get('zone', '<unset>')}")
    common.events(write, found["events"])
