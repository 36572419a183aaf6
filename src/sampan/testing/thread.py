"""A cluster in a thread of its own, for tests that are not asynchronous and for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sampan.testing.cluster import Cluster

R = TypeVar("R")

PATIENCE = 30.0
"""Seconds that start and end may take."""


class ServedCluster:
    """`url` and `kubeconfig` serve clients of any make; `run` carries a coroutine over to the cluster's thread:

    served_cluster.run(served_cluster.cluster.wait_for(Pod, "web"))
    """

    cluster: Cluster
    url: str
    kubeconfig: Path

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="served-cluster", daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> ServedCluster:
        self._thread.start()
        self._started.result(PATIENCE)
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise TimeoutError(f"the cluster's thread has not ended after {PATIENCE:g} s")
        if self._failure is not None:
            raise self._failure

    def run(self, work: Coroutine[Any, Any, R], timeout: float = PATIENCE) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            # It is raised again where somebody waits: in __enter__ or in __exit__.
            if self._started.done():
                self._failure = error
            else:
                self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with Cluster(**self._settings) as self.cluster:
            self.url, self.kubeconfig = self.cluster.url, self.cluster.kubeconfig
            self._started.set_result(None)
            await self._end.wait()
