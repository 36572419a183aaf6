"""Log files that have grown too large are moved aside, and the oldest of a container's are deleted.

0.log -> 0.log.20260102-030405.000006, then the container's monitor opens a new 0.log
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime

from sampan.host.containers import Container, ContainerRuntime, RuntimeFailure
from sampan.runtime.clock import Clock, RealClock

log = logging.getLogger(__name__)

MAX_SIZE, MAX_FILES, EVERY = 10 << 20, 5, 10.0
"""Bytes of one file, files of one container (the current one included), seconds between looks."""


class LogRotation:
    """`run` never returns."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        *,
        max_size: int = MAX_SIZE,
        max_files: int = MAX_FILES,
        clock: Clock | None = None,
    ) -> None:
        self._runtime = runtime
        self._max_size = max_size
        self._max_files = max_files
        self._clock = clock or RealClock()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self.rotate()

    async def rotate(self) -> int:
        """One look at all running containers; returns how many logs were moved aside."""
        directories = {s.id: s.config.log_directory for s in await self._runtime.sandboxes()}
        running = [c for c in await self._runtime.containers() if c.state == "running" and c.config.log_path]
        paths = [(c, f"{directories.get(c.sandbox_id, '')}/{c.config.log_path}") for c in running]
        loop = asyncio.get_running_loop()
        large = await loop.run_in_executor(None, lambda: self._too_large(paths))
        for container, path in large:
            await self._rotate(container, path)
        return len(large)

    def _too_large(self, paths: Iterable[tuple[Container, str]]) -> list[tuple[Container, str]]:
        return [(container, path) for container, path in paths if _size(path) > self._max_size]

    async def _rotate(self, container: Container, path: str) -> None:
        aside = f"{path}.{datetime.fromtimestamp(self._clock.now(), UTC):%Y%m%d-%H%M%S.%f}"
        os.rename(path, aside)
        try:
            await self._runtime.reopen_log(container.id)
        except (RuntimeFailure, OSError) as error:
            # A container that ended meanwhile keeps its log under its name.
            log.info("log of container %s: %s", container.id[:12], error)
            if not os.path.exists(path):
                os.rename(aside, path)
            return
        for old in self._superfluous(path):
            os.unlink(old)

    def _superfluous(self, path: str) -> list[str]:
        directory, name = os.path.split(path)
        rotated = sorted(each for each in os.listdir(directory) if each.startswith(f"{name}."))
        kept = max(0, self._max_files - 1)
        return [f"{directory}/{each}" for each in rotated[: len(rotated) - kept]] if len(rotated) > kept else []


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
