"""The git server, put together: what listens, on which addresses, with whose rights.

Nothing runs before somebody pushes, fetches or delivers.
"""

from __future__ import annotations

import asyncio
import errno
import logging

from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.config import ClusterConfig
from sampan.delivery.git.access import Access
from sampan.delivery.git.counts import Counts
from sampan.delivery.git.deliveries import Deliveries
from sampan.delivery.git.hooks import Hooks
from sampan.delivery.git.pushes import Follow, Pushes
from sampan.delivery.git.repositories import LARGEST_PUSH, Repositories
from sampan.delivery.git.server import GitServer
from sampan.delivery.places import Places
from sampan.http.server import Server
from sampan.http.tls import server_context
from sampan.runtime.access import Reviewer
from sampan.runtime.events import Recorder
from sampan.runtime.tasks import Group

log = logging.getLogger(__name__)

IDENTITY = "git"
"""The certificate, for both ends: of the server, and of user system:sampan:git."""


class GitRoom:
    """`client` acts as system:sampan:git; `follow` gives the lines of a run."""

    def __init__(
        self, cluster: ClusterConfig, client: Client, follow: Follow, *, largest_push: int = LARGEST_PUSH
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._follow = follow
        self._largest_push = largest_push
        self.counts = Counts()
        self.listening = asyncio.Event()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Loopback for people, the bridge for pods."""
        return ("127.0.0.1", self._cluster.advertise_ip)

    async def run(self) -> None:
        """Serve until cancelled; returns at once when nothing is to be served."""
        cluster = self._cluster
        if not cluster.git_port:
            return
        places = Places(cluster.data_dir)
        kept = Repositories(places.repositories, places.git, largest_push=self._largest_push)
        kept.prepare()
        pushes = Pushes(self._client, self._follow, self.counts)
        hooks = Hooks(
            cluster.run_dir / "git" / "hooks.sock", {"pre-receive": pushes.before, "post-receive": pushes.after}
        )
        recorder = Recorder(self._client, "sampan-git")
        deliveries = Deliveries(self._client, recorder, self.counts)
        access = Access(Reviewer(self._client))
        handler = GitServer(
            self._client, access, kept, hooks, deliveries.answer, self.counts, largest_push=self._largest_push
        )
        directory = cluster.pki_dir
        tls = server_context(directory / f"{IDENTITY}.crt", directory / f"{IDENTITY}.key", directory / "ca.crt")
        front = Server(handler.handle, tls=tls)
        try:
            await hooks.start()
            if not await self._listen(front):
                return
            self.listening.set()
            async with Group("git") as group:
                group.start("events", recorder.run())
                await self._sweep(kept)
        finally:
            await front.close()
            await hooks.close()

    async def _listen(self, front: Server) -> bool:
        port = self._cluster.git_port
        for address in self.addresses:
            try:
                await front.listen(address, port, before_it_exists=True)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                log.warning("no git server: port %d is in use by another program; sampan up --git-port N", port)
                return False
        return True

    async def _sweep(self, kept: Repositories) -> None:
        try:
            namespaces = (await self._client.list(core_v1.Namespace)).items
        except FAILURES as error:
            log.warning("repositories of namespaces that are gone are kept, for nobody tells which: %s", error)
            return
        for place in kept.sweep({each.metadata.name or "": each.metadata.uid or "" for each in namespaces}):
            log.info("the repository of %s is removed: its namespace is gone", place)
