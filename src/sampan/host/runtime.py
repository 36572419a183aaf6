"""The container runtime: containers.ContainerRuntime over an OCI runtime, conmon, and system calls.

No daemon: what runs is on disk and in the kernel, so that a new process of ours adopts what an old one left.

    Sandboxes --- sandbox, namespaces, mounts, cgroups, PodNetwork
        |
    Lifecycle --- bundle (spec, users, seccomp, overlay) --- monitor (conmon) --- oci (crun, runc)
        |
    exec, attach, portforward: sessions into what runs
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sampan.host import attachment, bundle, cgroups, engine, execution, monitor, oci, portforward, sweep, terminal
from sampan.host.background import Background
from sampan.host.changes import Changes
from sampan.host.containers import (
    Container,
    ContainerConfig,
    ExecResult,
    PodNetwork,
    Process,
    Resources,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Stats,
)
from sampan.host.images import ImageRoots
from sampan.host.layout import Layout
from sampan.host.lifecycle import Lifecycle
from sampan.host.sandboxes import Sandboxes


class OCIRuntime:
    """Make one with `open`; `close` leaves everything running, `teardown` nothing."""

    def __init__(self, parts: engine.Engine, images: ImageRoots, network: PodNetwork) -> None:
        self.engine = parts
        self._changes = Changes()
        self._background = Background()
        self._lifecycle = Lifecycle(parts, images, self._changes, self._background)
        self._sandboxes = Sandboxes(parts, network, self._lifecycle)

    @classmethod
    async def open(
        cls,
        instance: str,
        data_dir: str,
        run_dir: str,
        images: ImageRoots,
        network: PodNetwork,
        *,
        program: str = "auto",
    ) -> OCIRuntime:
        """Choose the OCI runtime, adopt what runs, sweep what is dead. `program` is auto, crun, runc or a path.

        Raises RuntimeFailure RuntimeNotReady, saying what is missing.
        """
        parts = await engine.open_engine(Layout(instance, data_dir, run_dir), program)
        self = cls(parts, images, network)
        await sweep.adopt(self._sandboxes, self._lifecycle)
        return self

    @property
    def verdicts(self) -> tuple[oci.Verdict, ...]:
        """Which OCI runtimes were tried and why each was taken or not; the last is in use."""
        return self.engine.verdicts

    async def close(self) -> None:
        await self._background.close()
        self.engine.close()

    async def teardown(self) -> None:
        """Kill and remove everything of this instance."""
        for id in list(self._sandboxes.records):
            await self._sandboxes.remove(id)
        await sweep.remove_leftovers(self._sandboxes, self._lifecycle)
        await self.engine.call(lambda: sweep.remove_instance(self.engine))
        await self.close()

    async def run_sandbox(self, config: SandboxConfig) -> Sandbox:
        return await self._sandboxes.run(config)

    async def stop_sandbox(self, id: str) -> None:
        await self._sandboxes.stop(id)

    async def remove_sandbox(self, id: str) -> None:
        await self._sandboxes.remove(id)

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        record = self._sandboxes.record(sandbox_id)
        if not record.sandbox.ready:
            raise RuntimeFailure("CreateContainerError", f"sandbox {sandbox_id!r} is not ready")
        return self._lifecycle.create(record, config)

    async def start_container(self, id: str) -> None:
        sandbox_id = self._lifecycle.record(id).container.sandbox_id
        await self._lifecycle.start(id, lambda: self._sandboxes.record(sandbox_id))

    async def stop_container(self, id: str, grace: float) -> None:
        await self._lifecycle.stop(id, grace)

    async def remove_container(self, id: str) -> None:
        await self._lifecycle.remove(id)

    async def sandboxes(self) -> Sequence[Sandbox]:
        return [record.sandbox for record in self._sandboxes.records.values()]

    async def containers(self) -> Sequence[Container]:
        return [record.container for record in self._lifecycle.records.values()]

    async def container(self, id: str) -> Container | None:
        record = self._lifecycle.records.get(id)
        return record.container if record else None

    def changes(self) -> AsyncIterator[str]:
        return self._changes.subscribe()

    async def update_resources(self, id: str, resources: Resources) -> None:
        if id in self._sandboxes.records:
            await self._sandboxes.update(id, resources)
        else:
            await self._lifecycle.update(id, resources)

    async def run(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        return await execution.collect(self._exec(id, command, stdin=False), timeout)

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> Process:
        if not tty:
            return self._exec(id, command, stdin=stdin)
        self._lifecycle.running(id)
        directory = execution.prepare(id, self.engine.layout.bundle(id), command, tty=True)
        try:
            return await terminal.start(self.engine.program, self.engine.conmon, id, directory)
        except BaseException:
            bundle.delete(directory)
            raise

    def _exec(self, id: str, command: Sequence[str], *, stdin: bool) -> execution.Session:
        self._lifecycle.running(id)
        directory = execution.prepare(id, self.engine.layout.bundle(id), command, tty=False)
        return execution.start(self.engine.program, id, directory, stdin=stdin)

    async def attach(self, id: str) -> attachment.Attachment:
        self._lifecycle.running(id)
        return attachment.open_attachment(self.engine.layout.bundle(id), lambda: self._lifecycle.exit_code(id))

    async def connect(self, sandbox_id: str, port: int) -> portforward.Link:
        record = self._sandboxes.record(sandbox_id)
        return await portforward.connect(record.sandbox.netns, port)

    async def reopen_log(self, id: str) -> None:
        self._lifecycle.running(id)
        monitor.reopen_log(self.engine.layout.bundle(id))

    async def stats(self, id: str) -> Stats | None:
        record = self._lifecycle.records.get(id)
        return cgroups.stats(self.engine.hierarchies, record.cgroup) if record else None

    async def sandbox_stats(self, id: str) -> Stats | None:
        record = self._sandboxes.records.get(id)
        if record is None:
            return None
        return cgroups.stats(self.engine.hierarchies, self.engine.layout.cgroup(record.sandbox.config.cgroup))
