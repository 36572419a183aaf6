"""All of deliveries, put together: what the node's process runs. Nothing is loaded before the first run comes.

    PipelineRun -> Runner -> pods, image, App

`parts` is where others hang what shall run beside it, such as the server that git pushes to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from sampan.client.client import Client
from sampan.config import ClusterConfig
from sampan.delivery.places import Places
from sampan.delivery.runner import Job, Runner, Status
from sampan.http.types import Request, Response
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group

if TYPE_CHECKING:
    from sampan.delivery import work


class Delivery:
    """`run` never returns; `answer` is what the node's server gives below /delivery."""

    def __init__(self, cluster: ClusterConfig, node: str, client: Client, *, clock: Clock | None = None) -> None:
        """`client` acts as system:sampan:delivery."""
        self._cluster = cluster
        self._client = client
        self._node = node
        self._clock = clock or RealClock()
        self.places = Places(cluster.data_dir)
        self.runner = Runner(self.places, client, node, self._work, clock=self._clock)
        self.parts: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    async def run(self) -> None:
        async with Group("delivery", clock=self._clock) as group:
            group.supervise("runner", self.runner.run)
            for name, work in self.parts:
                group.supervise(name, work)

    def url_of(self, namespace: str, app: str) -> str:
        """Where an app's repository is cloned from."""
        if not self._cluster.git_port:
            return f"file://{self.places.repository(namespace, app)}"
        return f"https://127.0.0.1:{self._cluster.git_port}/{namespace}/{app}.git"

    async def answer(self, request: Request, rest: Sequence[str]) -> Response:
        from sampan.delivery import answers

        return await answers.answer(self.runner, self.places, request, rest)

    def samples(self) -> Iterator[Sample]:
        yield from self.runner.samples()

    async def _work(self, job: Job, tell: Callable[[Status], Awaitable[None]]) -> Status:
        from sampan.delivery import work

        return await work.carry_out(job, tell, self._site)

    @property
    def _site(self) -> work.Site:
        from sampan.delivery import work

        where = self._cluster, self._node, self._client, self.places, self.runner
        return work.Site(*where, url_of=self.url_of, clock=self._clock)
