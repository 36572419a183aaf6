"""Reads the figures that pods show (prometheus.io/scrape) every PERIOD seconds, and keeps them.

Without such pods it looks at annotations and does nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from sampan.api.exposition import Reading, parse
from sampan.api.types import core_v1
from sampan.http.errors import BodyTooLarge
from sampan.http.types import Request, Transport
from sampan.monitor.exposed import Exposed, exposed
from sampan.runtime.clock import Clock

log = logging.getLogger(__name__)

PERIOD = 15.0
PATIENCE = 5.0
"""Seconds that a pod has to answer."""
AT_ONCE = 8
"""Pods that are read at once: one that does not answer keeps nobody waiting."""
LIMIT = 2 << 20
"""Bytes of an answer that are read at most."""
READINGS = 5_000
"""Readings of one answer that are kept at most."""

Keep = Callable[[Exposed, list[Reading], float], Awaitable[None]]
Connect = Callable[[str], Transport]


class Unreadable(Exception):
    """A pod does not show its figures; the message says why."""


class Scraper:
    """`run` never returns. `keep` takes what was read at a time, `up` included: 1 when it was, 0 when not."""

    def __init__(self, pods: Callable[[], Collection[core_v1.Pod]], connect: Connect, keep: Keep, clock: Clock) -> None:
        self._pods = pods
        self._connect = connect
        self._keep = keep
        self._clock = clock
        self._silent: set[Exposed] = set()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(PERIOD)
            await self.round()

    async def round(self) -> None:
        places = [place for pod in self._pods() if (place := exposed(pod)) is not None]
        self._silent &= set(places)
        turn = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(self._one(place, turn), name=f"figures of {place.namespace}/{place.pod}")

    async def _one(self, place: Exposed, turn: asyncio.Semaphore) -> None:
        try:
            async with turn:
                readings = await self.read(place)
        except (OSError, ValueError, Unreadable) as error:
            if place not in self._silent:
                self._silent.add(place)
                where = f"{place.scheme}://{place.address}:{place.port}{place.path}"
                log.warning("no figures of pod %s/%s from %s: %s", place.namespace, place.pod, where, error)
            readings = [Reading("up", {}, 0.0)]
        else:
            self._silent.discard(place)
            readings.append(Reading("up", {}, 1.0))
        await self._keep(place, readings, self._clock.now())

    async def read(self, place: Exposed) -> list[Reading]:
        """Raises OSError, ValueError, Unreadable."""
        transport = self._connect(f"{place.scheme}://{place.address}:{place.port}")
        try:
            async with asyncio.timeout(PATIENCE):
                asked = Request("GET", place.path, {"accept": "text/plain;version=0.0.4", "user-agent": "sampan"})
                response = await transport.send(asked)
                body = await response.read(LIMIT)
        except BodyTooLarge as error:
            raise Unreadable(f"its answer has more than {LIMIT} bytes") from error
        finally:
            await transport.close()
        if response.status != 200:
            raise Unreadable(f"it answers {response.status}")
        return list(parse(body.decode(errors="replace")))[:READINGS]
