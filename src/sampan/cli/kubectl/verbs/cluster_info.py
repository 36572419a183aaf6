"""`sampan cluster-info`: where the server is."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.kubectl import config, flags
from sampan.cli.kubectl.session import connect


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)


async def run(options: argparse.Namespace, context: Context) -> int:
    where = config.target(options, context.environ)
    async with connect(options, context) as session:
        query = {"labelSelector": "kubernetes.io/cluster-service=true"}
        services = await session.read("/api/v1/namespaces/kube-system/services", query)
    context.out(f"Kubernetes control plane is running at {where.server}")
    for service in services.get("items") or ():
        meta = service["metadata"]
        title = (meta.get("labels") or {}).get("kubernetes.io/name") or meta["name"]
        ports = service["spec"].get("ports") or [{}]
        port = ports[0]
        name = f"{meta['name']}:{port['name']}" if port.get("name") else meta["name"]
        context.out(f"{title} is running at {where.server}/api/v1/namespaces/kube-system/services/{name}/proxy")
    return 0
