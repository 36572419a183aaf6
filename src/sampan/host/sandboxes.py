"""The life of sandboxes: made, stopped, removed. Their containers are lifecycle's."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace

from sampan.host import background, cgroups, processes, sandbox, state
from sampan.host.containers import PodNetwork, Resources, RuntimeFailure, Sandbox, SandboxConfig
from sampan.host.engine import Engine
from sampan.host.lifecycle import Lifecycle
from sampan.host.state import SandboxRecord


class Sandboxes:
    """All sandboxes of an instance, by ID."""

    def __init__(self, engine: Engine, network: PodNetwork, lifecycle: Lifecycle) -> None:
        self.engine = engine
        self.network = network
        self.lifecycle = lifecycle
        self.records: dict[str, SandboxRecord] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def record(self, id: str) -> SandboxRecord:
        if id not in self.records:
            raise RuntimeFailure("NotFound", f"sandbox {id!r} not found")
        return self.records[id]

    def _save(self, record: SandboxRecord) -> None:
        self.records[record.sandbox.id] = record
        state.write(self.engine.layout.sandbox_record(record.sandbox.id), record)

    async def run(self, config: SandboxConfig) -> Sandbox:
        """Make a sandbox. Raises RuntimeFailure CreatePodSandboxError, after which nothing of it is left."""
        return await background.whole(self._run(config))

    async def _run(self, config: SandboxConfig) -> Sandbox:
        id = os.urandom(32).hex()
        netns = "" if config.host_network else self.engine.layout.netns_file(id)
        made = Sandbox(id, config, ready=False, created_at=time.time(), netns=netns)
        try:
            self._save(SandboxRecord(made))
            await self._make(id, config, netns)
        except BaseException as error:
            await self._remove(id)
            if isinstance(error, OSError):
                raise RuntimeFailure("CreatePodSandboxError", str(error)) from error
            raise
        return self.records[id].sandbox

    async def _make(self, id: str, config: SandboxConfig, netns: str) -> None:
        engine = self.engine
        await engine.call(lambda: sandbox.make(engine.layout, engine.hierarchies, id, config))
        ips = await self.network.attach(id, netns, config) if netns else ()
        record = self.records[id]
        if config.share_pid and not config.host_pid:
            record = await self._start_init(record)
        self._save(replace(record, sandbox=replace(record.sandbox, ready=True, ips=tuple(ips))))

    async def _start_init(self, record: SandboxRecord) -> SandboxRecord:
        engine, id = self.engine, record.sandbox.id
        bundle = await engine.call(lambda: sandbox.init_bundle(engine.layout, id, record.sandbox.config))
        pid_file = f"{bundle}/pid"
        program = engine.program
        argv = [program.path, "--root", program.root, "create", "--bundle", bundle, "--pid-file", pid_file, id]
        async with engine.creations:
            output = await processes.run_detached(argv, f"{bundle}/error")
        if output.code:
            words = output.stderr.decode(errors="replace").strip()
            raise RuntimeFailure("CreatePodSandboxError", f"shared PID namespace: {words}")
        pid = processes.read_pid(pid_file)
        found = replace(record, init_pid=pid, init_started=processes.start_time(pid))
        self._save(found)
        await program.release(id, pid, found.init_started)
        return found

    async def update(self, id: str, resources: Resources) -> None:
        """Change the limits of the whole pod."""
        record, engine = self.record(id), self.engine
        config = replace(record.sandbox.config, resources=resources)
        path = engine.layout.cgroup(config.cgroup)
        try:
            await engine.call(lambda: cgroups.limit(engine.hierarchies, path, resources))
        except OSError as error:
            raise RuntimeFailure("ResizeError", f"cannot change the limits of sandbox {id!r}: {error}") from error
        record = self.record(id)
        self._save(replace(record, sandbox=replace(record.sandbox, config=config)))

    async def stop(self, id: str) -> None:
        async with self._locks.setdefault(id, asyncio.Lock()):
            record = self.records.get(id)
            if record is None or record.stopped:
                return
            record = replace(record, sandbox=replace(record.sandbox, ready=False))
            self._save(record)  # from here on no container starts in it
            await asyncio.gather(*(self.lifecycle.stop(each, 0) for each in self.lifecycle.of_sandbox(id)))
            await self._stop_init(record)
            await self.network.detach(id)
            await self.engine.call(lambda: sandbox.release(self.engine.layout, id))
            self._save(replace(record, stopped=True, init_pid=0))

    async def _stop_init(self, record: SandboxRecord) -> None:
        if record.init_pid:
            processes.signal_process(record.init_pid, record.init_started, signal.SIGKILL)
            await processes.ended(record.init_pid, record.init_started)
        if record.sandbox.config.share_pid:
            engine, id = self.engine, record.sandbox.id
            await self.lifecycle.clear_cgroup(engine.layout.cgroup(record.sandbox.config.cgroup, id))
            await engine.call(lambda: sandbox.forget_init(engine.program.root, id))

    async def remove(self, id: str) -> None:
        await background.whole(self._remove(id))

    async def _remove(self, id: str) -> None:
        await self.stop(id)
        await asyncio.gather(*(self.lifecycle.remove(each) for each in self.lifecycle.of_sandbox(id)))
        record = self.records.pop(id, None)
        self._locks.pop(id, None)
        if record is None:
            return
        config = record.sandbox.config
        shared = any(other.sandbox.config.cgroup == config.cgroup for other in self.records.values())
        kept = None if shared else config
        engine = self.engine
        await engine.call(lambda: sandbox.unmake(engine.layout, engine.hierarchies, id, kept))
        os.unlink(engine.layout.sandbox_record(id))
