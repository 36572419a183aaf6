"""`sampan webhook APP`: the address and the secret with which a forge tells the cluster of pushes."""

from __future__ import annotations

import argparse
import base64
import secrets
from pathlib import Path
from typing import Any

import msgspec

from sampan.api.errors import StatusError
from sampan.api.extra.sampan_v1 import App
from sampan.api.kinds.sampan import APP as KIND
from sampan.api.types import core_v1, discovery_v1, networking_v1
from sampan.cli import apps
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import connect
from sampan.cli.remote import served
from sampan.client.client import Client
from sampan.config import DATA_ROOT, ClusterConfig

Document = dict[str, Any]
KEY = "secret"
MANAGER = "sampan-webhook"

EXAMPLES = """\
examples:
  sampan webhook guestbook
  sampan webhook guestbook --host hooks.example.com
  sampan webhook guestbook --remove"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan webhook APP [FLAGS]"
    flags.set_up(parser)
    parser.add_argument("--host", default="", metavar="HOST", help="publish the hook, and nothing else, at this host")
    parser.add_argument("--renew", action="store_true", help="make another secret; the old one is worth nothing then")
    parser.add_argument("--remove", action="store_true", help="take the hook and its secret away")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) != 1:
        raise CommandError("error: name one app: sampan webhook APP")
    name = options.args[0]
    cluster = served(options, context)
    async with connect(options, context) as session:
        client = apps.client_of(session)
        app = await apps.read(client, name, session.namespace)
        if options.remove:
            return await _remove(client, app, context)
        secret = await _secret(client, app, renew=options.renew)
        if options.host:
            for type, document in published(app, options.host, cluster):
                await _apply(client, type, document)
    _tell(app, address(app, options.host, cluster), secret, context, published=bool(options.host))
    return 0


def address(app: App, host: str, cluster: ClusterConfig) -> str:
    path = f"/hooks/{app.metadata.namespace}/{app.metadata.name}"
    if not host:
        return f"https://127.0.0.1:{cluster.git_port}{path}"
    if cluster.https_port:
        return f"https://{host}{f':{cluster.https_port}' if cluster.https_port != 443 else ''}{path}"
    return f"http://{host}{f':{cluster.http_port}' if cluster.http_port != 80 else ''}{path}"


def _tell(app: App, url: str, secret: str, context: Context, *, published: bool) -> None:
    source = app.spec.source.git
    context.out(f"payload URL    {url}")
    context.out("content type   application/json")
    context.out(f"secret         {secret}")
    context.out("events         pushes only")
    context.err("")
    context.err(
        "GitHub: Settings, Webhooks, Add webhook; enter the three above, and leave SSL verification on if the host"
    )
    context.err("has a certificate that GitHub trusts. Gitea and Forgejo: Settings, Webhooks, Add. GitLab: Settings,")
    context.err("Webhooks; the secret is its secret token.")
    if not published:
        context.err("This address is for this machine; sampan webhook APP --host HOST publishes it.")
    if source is None or not source.url:
        name = app.metadata.name
        context.err(f"app {name} does not come from a repository yet: sampan deploy --git URL --name {name}")


async def _secret(client: Client, app: App, *, renew: bool) -> str:
    """That of the hook, made when there is none."""
    name, namespace = _name(app), app.metadata.namespace or ""
    if not renew and (there := await _find(client, name, namespace)) is not None:
        value = base64.b64decode(there.data.get(KEY, "")).decode(errors="replace")
        if not value:
            raise CommandError(f"error: Secret {name} has no key {KEY}; make it anew with --renew")
        return value
    made = secrets.token_hex(20)
    await _apply(client, core_v1.Secret, _object("v1", "Secret", app) | {"type": "Opaque", "stringData": {KEY: made}})
    return made


async def _find(client: Client, name: str, namespace: str) -> core_v1.Secret | None:
    try:
        return await client.get(core_v1.Secret, name, namespace)
    except StatusError as error:
        if error.code == 404:
            return None
        raise CommandError(f"error: {error}") from error


def published(app: App, host: str, cluster: ClusterConfig) -> list[tuple[type[msgspec.Struct], Document]]:
    """A way in from outside that leads to this one hook: a Service without pods, whose endpoint is the git server."""
    port = {"name": "https", "port": 443, "protocol": "TCP"}
    service = _object("v1", "Service", app) | {"spec": {"ports": [{**port, "targetPort": cluster.git_port}]}}
    slice = _object("discovery.k8s.io/v1", "EndpointSlice", app) | {
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": cluster.git_port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [cluster.advertise_ip], "conditions": {"ready": True}}],
    }
    slice["metadata"]["labels"]["kubernetes.io/service-name"] = _name(app)
    backend = {"service": {"name": _name(app), "port": {"number": 443}}}
    path = {"path": f"/hooks/{app.metadata.namespace}/{app.metadata.name}", "pathType": "Exact", "backend": backend}
    ingress = _object("networking.k8s.io/v1", "Ingress", app)
    ingress["metadata"]["annotations"] = {
        "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
        "nginx.ingress.kubernetes.io/proxy-body-size": "25m",
    }
    ingress["spec"] = {"rules": [{"host": host, "http": {"paths": [path]}}]}
    return [(core_v1.Service, service), (discovery_v1.EndpointSlice, slice), (networking_v1.Ingress, ingress)]


def _name(app: App) -> str:
    return f"{app.metadata.name}-webhook"


def _object(version: str, kind: str, app: App) -> Document:
    """Goes with the app."""
    owner = {"apiVersion": KIND.api_version, "kind": KIND.name, "name": app.metadata.name, "uid": app.metadata.uid}
    metadata = {
        "name": _name(app),
        "namespace": app.metadata.namespace,
        "labels": {"app.kubernetes.io/managed-by": MANAGER},
        "ownerReferences": [owner],
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


async def _apply(client: Client, type: type[msgspec.Struct], document: Document) -> None:
    metadata = document["metadata"]
    try:
        await client.patch(
            *(type, metadata["name"], metadata["namespace"]),
            body=document,
            how="apply",
            field_manager=MANAGER,
            force=True,
        )
    except StatusError as error:
        raise CommandError(f"error: {error}") from error


async def _remove(client: Client, app: App, context: Context) -> int:
    found = False
    for type in (networking_v1.Ingress, discovery_v1.EndpointSlice, core_v1.Service, core_v1.Secret):
        try:
            await client.delete(type, _name(app), app.metadata.namespace or "")
            found = True
        except StatusError as error:
            if error.code != 404:
                raise CommandError(f"error: {error}") from error
    context.err(f"the webhook of app {app.metadata.name} is {'removed' if found else 'not there'}")
    return 0
