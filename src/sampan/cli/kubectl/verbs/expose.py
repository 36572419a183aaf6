"""`sampan expose`: a service in front of a workload."""

from __future__ import annotations

import argparse
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, pods, select, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan expose deployment web --port=80 --target-port=8080
  sampan expose pod web --port=80 --name=front --type=NodePort"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-expose")
    add = parser.add_argument
    add("--port", default="", metavar="PORT,...", help="port of the service")
    add("--target-port", default="", metavar="PORT", help="port, or its name, of the container")
    add("--name", default="", metavar="NAME", help="name of the service")
    add("--type", default="", metavar="TYPE", help="ClusterIP, NodePort, LoadBalancer or ExternalName")
    add("--protocol", default="", metavar="PROTOCOL", help="TCP, UDP or SCTP")
    add("-l", "--labels", default="", metavar="KEY=VALUE,...", help="labels of the service")
    add("--selector", default="", metavar="KEY=VALUE,...", help="which pods; that of the workload if not given")
    add("--cluster-ip", default="", metavar="IP", help="None for a headless service")
    add("--external-ip", default="", metavar="IP", help="an address that is routed here")
    add("--session-affinity", default="", metavar="None|ClientIP", help="whether clients stay with one pod")


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        found = await select.targets(session, options.args)
        for target in found:
            if not target.name:
                raise CommandError("error: resource(s) were provided, but no name was specified")
            document = await session.read(target.path)
            service = made(options, target, document)
            resource = (await session.resources()).find("services")
            if session.given_namespace:
                service["metadata"]["namespace"] = target.namespace
            goal = Target(resource, target.namespace, service["metadata"]["name"], service)
            if flags.check_dry_run(options) != "client":
                service = await session.write("POST", resource.path(target.namespace), service, writing.query(options))
            writing.show(session, goal, service, "exposed")
    return 0


def made(options: argparse.Namespace, target: Target, document: Document) -> Document:
    spec: Document = {"ports": _ports(options, document), "selector": _selector(options, target, document)}
    for field, value in (
        ("type", options.type),
        ("clusterIP", options.cluster_ip),
        ("sessionAffinity", options.session_affinity),
    ):
        if value:
            spec[field] = value
    if options.external_ip:
        spec["externalIPs"] = [options.external_ip]
    labels = _pairs(options.labels) if options.labels else document["metadata"].get("labels") or {}
    metadata: Document = {"name": options.name or target.name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _selector(options: argparse.Namespace, target: Target, document: Document) -> dict[str, str]:
    if options.selector:
        return _pairs(options.selector)
    if document["kind"] == "Pod":
        labels = document["metadata"].get("labels") or {}
        if not labels:
            raise CommandError(
                "error: couldn't retrieve selectors via --selector flag or introspection: "
                "the pod has no labels and cannot be exposed"
            )
        return dict(labels)
    text = pods.selector_text(document)
    selector = (document.get("spec") or {}).get("selector") or {}
    if text is None or selector.get("matchExpressions"):
        raise CommandError(f"error: cannot expose a {document['kind']}")
    return dict(selector.get("matchLabels") or selector)


def _ports(options: argparse.Namespace, document: Document) -> list[Document]:
    texts = [text for text in options.port.split(",") if text]
    spec = document.get("spec") or {}
    protocols: dict[str, str] = {}
    template = (spec.get("template") or {}).get("spec") or spec
    for container in template.get("containers") or ():
        for port in container.get("ports") or ():
            protocols[str(port["containerPort"])] = port.get("protocol", "TCP")
    for port in spec.get("ports") or ():
        protocols[str(port["port"])] = port.get("protocol", "TCP")
    texts = texts or list(protocols)
    if not texts:
        raise CommandError("error: couldn't find port via --port flag or introspection")
    found = []
    for at, text in enumerate(texts, 1):
        target = options.target_port or text
        made_port: Document = {"port": int(text), "protocol": options.protocol or protocols.get(text, "TCP")}
        made_port["targetPort"] = int(target) if target.isdigit() else target
        found.append({**({"name": f"port-{at}"} if len(texts) > 1 else {}), **made_port})
    return found
