"""The life of containers: created, running, exited, removed. Each change is on disk before it is told.

A container is made by the monitor and the OCI runtime, and released by us. Its end is noticed through a pidfd of
the monitor, which by then has written the exit code; what the kernel holds for it is let go at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from sampan.host import background, bundle, cgroups, monitor, processes, sandbox, state
from sampan.host.changes import Changes
from sampan.host.containers import Container, ContainerConfig, Resources, RuntimeFailure
from sampan.host.engine import Engine
from sampan.host.images import ImageRoots
from sampan.host.state import ContainerRecord, SandboxRecord

KILLED = 137
START_ERROR = 128


class Lifecycle:
    """All containers of an instance, by ID."""

    def __init__(self, engine: Engine, images: ImageRoots, changes: Changes, tasks: background.Background) -> None:
        self.engine = engine
        self.images = images
        self.changes = changes
        self.background = tasks
        self.records: dict[str, ContainerRecord] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._exited: dict[str, asyncio.Event] = {}

    def record(self, id: str) -> ContainerRecord:
        if id not in self.records:
            raise RuntimeFailure("NotFound", f"container {id!r} not found")
        return self.records[id]

    def running(self, id: str) -> ContainerRecord:
        record = self.record(id)
        if record.container.state != "running":
            raise RuntimeFailure("NotRunning", f"container {id!r} is not running")
        return record

    def of_sandbox(self, sandbox_id: str) -> list[str]:
        return [id for id, record in self.records.items() if record.container.sandbox_id == sandbox_id]

    def _target(self, sandbox_id: str, name: str) -> int:
        """The first process of the sandbox's running container of that name."""
        for record in (self.records[id] for id in self.of_sandbox(sandbox_id)):
            if record.container.config.name == name and record.container.state == "running":
                return record.container.pid
        raise RuntimeFailure("RunContainerError", f"container {name!r}, whose processes were asked for, does not run")

    def _lock(self, id: str) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock())

    def save(self, record: ContainerRecord) -> None:
        id = record.container.id
        self.records[id] = record
        state.write(self.engine.layout.container_record(id), record)

    def create(self, within: SandboxRecord, config: ContainerConfig) -> str:
        """Note a container; nothing is mounted or started. Raises RuntimeFailure when its image is not here."""
        image = self.images.root(config.image)
        if image is None:
            raise RuntimeFailure("CreateContainerError", f"image {config.image!r} not found")
        id = os.urandom(32).hex()
        settings = within.sandbox.config
        container = Container(
            id=id,
            sandbox_id=within.sandbox.id,
            config=config,
            state="created",
            created_at=time.time(),
            image_id=image.id,
            image_ref=image.reference,
        )
        log = f"{settings.log_directory}/{config.log_path}" if settings.log_directory and config.log_path else ""
        os.makedirs(os.path.dirname(self.engine.layout.container_record(id)))
        self.save(ContainerRecord(container, self.engine.layout.cgroup(settings.cgroup, id), log_path=log))
        return id

    async def start(self, id: str, within: Callable[[], SandboxRecord]) -> None:
        """Run it. Raises RuntimeFailure; the container is then exited with code 128 and the reason StartError.

        A cancelled caller leaves a container that has started, never half of one.
        """
        await background.whole(self._start_alone(id, within))
        self.changes.publish(id)

    async def _start_alone(self, id: str, within: Callable[[], SandboxRecord]) -> None:
        async with self._lock(id), self.engine.creations:
            record, pod = self.record(id), within()
            if record.container.state != "created":
                raise RuntimeFailure("RunContainerError", f"container {id!r} is {record.container.state}, not created")
            if not pod.sandbox.ready:
                raise RuntimeFailure("RunContainerError", f"sandbox {pod.sandbox.id!r} is not ready")
            try:
                await self._start(record, pod)
            except OSError as error:
                await self.failed(id, str(error))
                raise RuntimeFailure("RunContainerError", str(error)) from error
            except BaseException as error:
                await self.failed(id, str(error))
                raise

    async def _start(self, record: ContainerRecord, within: SandboxRecord) -> None:
        engine, id, config = self.engine, record.container.id, record.container.config
        image = self.images.root(record.container.image_id)
        if image is None:
            raise RuntimeFailure("CreateContainerError", f"image {config.image!r} is gone")
        settings = within.sandbox.config
        # Where all containers of a pod share their processes, the target's are among them already.
        init = within.init_pid or (self._target(within.sandbox.id, config.target) if config.target else 0)
        place = sandbox.place(engine.layout, within.sandbox.id, settings, id, init, engine.machine.unified)
        volumes = {name: root for mount in config.mounts if (name := mount.image) and (root := self.images.root(name))}
        made = await engine.call(
            lambda: bundle.prepare(engine.layout, settings, record.container, image, place, engine.machine, volumes)
        )
        if record.log_path:
            os.makedirs(os.path.dirname(record.log_path), exist_ok=True)
        launch = monitor.Launch(
            id, engine.layout.bundle(id), engine.layout.exits, record.log_path, config.tty, config.stdin,
            config.stdin_once,
        )  # fmt: skip
        started = await monitor.start(engine.conmon, engine.program, launch)
        record = replace(
            record,
            stop_signal=made.stop_signal,
            process_started=started.started,
            monitor_pid=started.monitor_pid,
            monitor_started=started.monitor_started,
        )
        record = state.changed(record, pid=started.pid, user=made.uid, groups=made.groups)
        self.save(record)
        await engine.program.release(id, started.pid, started.started)
        self.save(state.changed(record, state="running", started_at=time.time()))
        self.watch(id)

    async def failed(self, id: str, why: str) -> None:
        """Note that a container could not be started, and let go of what was made of it."""
        record = self.record(id)
        await self.end_unnoted(id)
        await self._let_go(record)
        now = time.time()
        self.save(
            state.changed(
                record, state="exited", exit_code=START_ERROR, reason="StartError", message=why,
                started_at=0.0, finished_at=now, pid=0,
            )
        )  # fmt: skip
        self.changes.publish(id)

    async def end_unnoted(self, id: str) -> None:
        """Kill a container's process and its monitor as their pid files tell, with or without a record."""
        directory = self.engine.layout.bundle(id)
        pids = [processes.read_pid(f"{directory}/{name}") for name in ("pid", "monitor.pid")]
        await processes.end([pid for pid in pids if pid and processes.mentions(pid, id)])

    async def end_all_of(self, id: str) -> None:
        """Kill a container that we died making, whose OCI runtime may still be at work."""
        while found := await self.engine.call(lambda: processes.mentioning(id)):
            await processes.end(found)

    def watch(self, id: str) -> None:
        """Notice the end of a running container, now and after a restart of ours."""
        self._exited[id] = asyncio.Event()
        self.background.start(self._watch(id), f"watch container {id[:12]}")

    async def _watch(self, id: str) -> None:
        record, lock = self.records[id], self._lock(id)
        await processes.ended(record.monitor_pid, record.monitor_started)
        record = self.records[id]
        code = monitor.exit_code(self.engine.layout.exits, id)
        if code is None:
            # The monitor was killed; without it the container can neither write nor be known to end.
            processes.signal_process(record.container.pid, record.process_started, signal.SIGKILL)
            await processes.ended(record.container.pid, record.process_started)
        record = self._ended(record, code)
        self.save(record)
        self._exited[id].set()
        self.changes.publish(id)
        async with lock:
            if id in self.records:  # else `remove` has let go of everything
                await self._let_go(record)

    def _ended(self, record: ContainerRecord, code: tuple[int, float] | None) -> ContainerRecord:
        number, finished = code or (KILLED, time.time())
        killed = cgroups.oom_kills(self.engine.hierarchies, record.cgroup) > 0
        reason = "OOMKilled" if killed and number else "Error" if number else "Completed"
        message = "" if code else "the container's monitor process was killed"
        return state.changed(
            record, state="exited", exit_code=number, reason=reason, message=message, finished_at=finished, pid=0
        )

    async def _let_go(self, record: ContainerRecord) -> None:
        """Free what the kernel holds for a container that has ended. Idempotent."""
        engine, id = self.engine, record.container.id
        await self.clear_cgroup(record.cgroup)
        await engine.call(lambda: _remove_runtime_state(engine, id))

    async def clear_cgroup(self, path: str) -> None:
        """Kill what is left in a cgroup, wait for it, remove it."""
        engine = self.engine
        left = await engine.call(lambda: _kill(engine.hierarchies, path))
        for pid, started in left:
            await processes.ended(pid, started)
        await engine.call(lambda: cgroups.remove(engine.hierarchies, path))

    async def stop(self, id: str, grace: float) -> None:
        record = self.records.get(id)
        if record is not None and record.container.state == "created":
            async with self._lock(id):  # a start that is under way comes first
                record = self.records.get(id)
        if record is None or record.container.state != "running":
            return
        if grace > 0:
            number = signal_number(record.container.config.stop_signal or record.stop_signal)
            processes.signal_process(record.container.pid, record.process_started, number)
            try:
                async with asyncio.timeout(grace):
                    await self._exited[id].wait()
                return
            except TimeoutError:
                pass  # the grace is over
        await self.kill(id)

    async def kill(self, id: str) -> None:
        record = self.record(id)
        processes.signal_process(record.container.pid, record.process_started, signal.SIGKILL)
        await self._exited[id].wait()

    async def remove(self, id: str) -> None:
        await background.whole(self._remove(id))

    async def _remove(self, id: str) -> None:
        await self.stop(id, 0)
        async with self._lock(id):
            record = self.records.get(id)
            if record is None:
                return
            if record.container.state == "running":
                await self.kill(id)
            record = self.records.pop(id)
            engine = self.engine
            await self._let_go(record)
            await engine.call(lambda: _delete(engine, id))
        self._locks.pop(id, None)
        self._exited.pop(id, None)

    async def exit_code(self, id: str) -> int:
        """The exit code of a running container, when it has ended."""
        await self._exited[id].wait()
        return self.records[id].container.exit_code if id in self.records else KILLED

    async def update(self, id: str, resources: Resources) -> None:
        record = self.running(id)
        engine = self.engine
        try:
            await engine.call(lambda: cgroups.limit(engine.hierarchies, record.cgroup, resources))
        except OSError as error:
            raise RuntimeFailure("ResizeError", f"cannot change the limits of container {id!r}: {error}") from error
        config = replace(record.container.config, resources=resources)
        self.save(state.changed(self.record(id), config=config))


def signal_number(name: str) -> int:
    """TERM, SIGTERM, SIGRTMIN+3 or 15; SIGTERM for "" and what nobody knows."""
    text = name.upper()
    if text.isdigit():
        return int(text)
    base, _, offset = text.partition("+")
    base = base if base.startswith("SIG") else f"SIG{base}"
    found = getattr(signal, base, None) if name else signal.SIGTERM
    if not isinstance(found, signal.Signals):
        return signal.SIGTERM
    return found + (int(offset) if offset.isdigit() else 0)


def _kill(hierarchies: cgroups.Hierarchies, path: str) -> list[tuple[int, int]]:
    left = [(pid, processes.start_time(pid)) for pid in cgroups.processes(hierarchies, path)]
    if left:
        cgroups.kill(hierarchies, path)
    return left


def _remove_runtime_state(engine: Engine, id: str) -> None:
    """Unmount the root, and delete the OCI runtime's state, which nobody else would."""
    bundle.unmount_root(engine.layout, id)
    bundle.delete(f"{engine.program.root}/{id}")


def _delete(engine: Engine, id: str) -> None:
    bundle.discard(engine.layout, id)
    bundle.delete(f"{engine.layout.exits}/{id}")
