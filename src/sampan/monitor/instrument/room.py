"""What the node asks before it makes a container: is it instrumented, and with what?

The first one that is brings the packages here; others wait with it. When they cannot be had, containers start without
them, and nobody tries again for AGAIN seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sampan.api.types import core_v1
from sampan.monitor.instrument import wanted
from sampan.monitor.instrument.wanted import Additions, Pairs
from sampan.runtime.clock import Clock, RealClock

if TYPE_CHECKING:
    from sampan.monitor.instrument.packages import Packages

AGAIN = 300.0
"""Seconds after a failure in which containers start without another try."""


class Instrumentation:
    """`endpoint` is where programs send their traces: http://ADDRESS:PORT."""

    def __init__(self, directory: Path, endpoint: str, *, clock: Clock | None = None) -> None:
        self._directory = directory
        self._endpoint = endpoint
        self._clock = clock or RealClock()
        self._turn = asyncio.Lock()
        self._failed: tuple[float, str] | None = None

    async def __call__(
        self, pod: core_v1.Pod, container: str, env: Pairs, image_env: Iterable[str]
    ) -> Additions | None:
        """None for a container that wants nothing."""
        if not wanted.wanted(pod, container):
            return None
        from sampan.monitor.instrument.packages import Packages

        have = Packages(self._directory)
        problem = "" if have.ready() else await self._prepare(have)
        if problem:
            return Additions(env, problem=problem)
        made = wanted.environment(pod, container, env, image_env, self._endpoint)
        return Additions(made, ((str(have.directory), wanted.PLACE),))

    async def _prepare(self, have: Packages) -> str:
        """Why the packages are not there, "" when they are."""
        from sampan.monitor.instrument.packages import Missing

        async with self._turn:
            if have.ready():
                return ""
            if self._failed is not None and self._clock.monotonic() < self._failed[0]:
                return self._failed[1]
            try:
                await have.prepare()
            except Missing as error:
                self._failed = (self._clock.monotonic() + AGAIN, str(error))
                return str(error)
            self._failed = None
            return ""
