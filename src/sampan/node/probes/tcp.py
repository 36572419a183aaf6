"""A TCP connection that opens is a success."""

from __future__ import annotations

import asyncio

from sampan.node.probes.outcome import Outcome, authority, dial_error


async def probe(host: str, port: int, timeout: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {authority(host, port)}: i/o timeout")
    except OSError as error:
        return Outcome(False, dial_error(host, port, error))
    writer.transport.abort()
    return Outcome(True)
