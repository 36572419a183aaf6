"""Whether a published app answers at its host already: nginx takes a change over a moment after the API knows of it.

Asked only where the cluster is on this machine; from elsewhere nobody knows the way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable

from sampan.api.extra.sampan_v1 import App
from sampan.cli import building
from sampan.cli.cluster_options import KEPT
from sampan.cli.context import Context

Proof = Callable[[App], Awaitable[str]]
"""What stands against an app's being published; "" for nothing."""

PATIENCE, PAUSE = 5.0, 0.05
UNSERVED = (404, 502, 503, 504)
"""What nginx says for an Ingress, or pods of one, that it has not taken over yet."""


def proof(options: argparse.Namespace, context: Context) -> Proof | None:
    cluster = building.local(options, context)
    if cluster is None:
        return None
    port = int(json.loads((cluster.data_root / cluster.name / KEPT).read_text()).get("http_port") or 0)

    async def ask(app: App) -> str:
        host = app.spec.host or ""
        if not port or not host or "*" in host:
            return ""
        return await answers(host, port, app.spec.health or "/")

    return ask


async def answers(host: str, port: int, path: str) -> str:
    """Ask until the app itself answers, for some seconds."""
    from sampan.http.client import HttpTransport
    from sampan.http.types import Request

    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    transport = HttpTransport(f"http://127.0.0.1:{port}", connect_timeout=PATIENCE, answer_timeout=PATIENCE)
    try:
        while True:
            try:
                response = await transport.send(Request("GET", path, {"host": host}))
                await response.read()
                if response.status not in UNSERVED:
                    return ""
                found = f"answers {response.status}"
            except OSError as error:
                found = f"does not answer: {error}"
            if loop.time() > until:
                return f"http://{host}{path} at port {port} of this machine {found}"
            await asyncio.sleep(PAUSE)
    finally:
        await transport.close()
