"""The node's registry: listens on loopback, says in the cluster where it is, and collects what nobody needs.

`kube-public/local-registry-hosting` is the ConfigMap of KEP-1755, by which tools find a cluster's local registry.
"""

from __future__ import annotations

import asyncio
import errno
import logging

from sampan.api.kinds import ALL
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.config import ClusterConfig
from sampan.http.client import HttpTransport
from sampan.http.server import Server
from sampan.images.registry.app import Registry
from sampan.images.store import ImageStore
from sampan.runtime.backoff import Exponential

log = logging.getLogger(__name__)

NAMESPACE, NAME, KEY = "kube-public", "local-registry-hosting", "localRegistryHosting.v1"
COLLECTION = 3600.0
"""Seconds between collections of what pushes left behind."""

_BACKOFF = Exponential(first=1.0, longest=60.0)


def hosts(port: int) -> tuple[str, ...]:
    """What the registry is called in image references."""
    return (f"localhost:{port}", f"127.0.0.1:{port}")


async def run(cluster: ClusterConfig, images: ImageStore, transport: HttpTransport) -> None:
    """Serve until cancelled; returns at once when there is no registry to serve. Closes `transport`, which is the
    administrator's: no other identity may write to kube-public."""
    try:
        if cluster.registry_port:
            await _serve(cluster.registry_port, images, Client(transport, ALL, user_agent="sampan-registry"))
    finally:
        await transport.close()


async def _serve(port: int, images: ImageStore, client: Client) -> None:
    registry = Registry(images, hosts(port))
    front = Server(registry.handle)
    try:
        try:
            await front.listen("127.0.0.1", port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            log.warning(
                "no registry: port %d is in use by another program; `sampan up --registry-port` changes it", port
            )
            return
        await _announce(client, port)
        while True:
            gone = await images.call(lambda: registry.repositories.expire() + registry.repositories.prune())
            if gone:
                log.info("the registry forgot %d manifests and blobs; %d bytes freed", gone, await images.collect())
            await asyncio.sleep(COLLECTION)
    finally:
        await front.close()
        await registry.close()


async def _announce(client: Client, port: int) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {KEY: f'host: "localhost:{port}"\nhostFromContainerRuntime: "localhost:{port}"\n'},
    }
    failures = 0
    while True:
        try:
            await client.patch(
                core_v1.ConfigMap, NAME, NAMESPACE, body=body, how="apply", field_manager="sampan-registry", force=True
            )
            return
        except FAILURES as error:
            failures += 1
            wait = _BACKOFF.delay(failures)
            log.warning("cannot announce the registry in %s/%s, again in %.0f s: %s", NAMESPACE, NAME, wait, error)
            await asyncio.sleep(wait)
