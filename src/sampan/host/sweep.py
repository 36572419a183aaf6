"""After a start of ours: adopt what runs, and remove what a crash or a reboot left behind."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from sampan.host import bundle, cgroups, execution, mounts, processes, sandbox, state
from sampan.host.containers import INTERRUPTED
from sampan.host.engine import Engine
from sampan.host.lifecycle import Lifecycle
from sampan.host.sandboxes import Sandboxes
from sampan.host.state import ContainerRecord, SandboxRecord


async def adopt(sandboxes: Sandboxes, lifecycle: Lifecycle) -> None:
    """Read the records, watch what runs, note what ended while nobody looked, and remove the rest."""
    engine = lifecycle.engine
    for name in state.directories(engine.layout.sandbox_records):
        path = f"{engine.layout.sandbox_records}/{name}"
        record = state.read(path, SandboxRecord)
        if record is not None and name.endswith(".json"):
            sandboxes.records[record.sandbox.id] = _checked(engine, record)
    for id in state.directories(engine.layout.container_data):
        found = state.read(engine.layout.container_record(id), ContainerRecord)
        if found is not None and found.container.sandbox_id in sandboxes.records:
            lifecycle.records[id] = found
    for id in list(lifecycle.records):
        await _adopt_container(lifecycle, id)
    await remove_leftovers(sandboxes, lifecycle)
    for id, record in list(sandboxes.records.items()):
        if not record.sandbox.ready and not record.stopped:
            await sandboxes.stop(id)


def _checked(engine: Engine, record: SandboxRecord) -> SandboxRecord:
    """A sandbox is ready while its namespaces are pinned and its init lives; a reboot ends both."""
    id, config = record.sandbox.id, record.sandbox.config
    held = set(mounts.below(engine.layout.run))
    pinned = all(path in held for path in sandbox.pinned(engine.layout, id, config).values())
    alive = not record.init_pid or processes.start_time(record.init_pid) == record.init_started
    ready = record.sandbox.ready and pinned and alive and not record.stopped
    return replace(record, sandbox=replace(record.sandbox, ready=ready))


async def _adopt_container(lifecycle: Lifecycle, id: str) -> None:
    """What ended while nobody looked is known to have ended before anybody asks."""
    record = lifecycle.records[id]
    container = record.container
    if container.state == "created":
        if not os.path.exists(lifecycle.engine.layout.bundle(id)):
            return
        if not container.pid or os.path.exists(lifecycle.engine.program.fifo(id)):
            await lifecycle.end_all_of(id)
            await lifecycle.failed(id, INTERRUPTED)
            return
        # released, and we died before we could say so
        record = state.changed(record, state="running", started_at=time.time())
        lifecycle.save(record)
    if record.container.state == "running":
        await _end_sessions(lifecycle, id)
        lifecycle.watch(id)
        if not processes.alive(record.monitor_pid, record.monitor_started):
            await lifecycle.exit_code(id)


async def _end_sessions(lifecycle: Lifecycle, id: str) -> None:
    """Commands executed for a process of ours that is gone have nobody to hear them: kill them."""
    directory = lifecycle.engine.layout.bundle(id)
    for name in state.directories(directory):
        if not name.startswith(execution.PREFIX):
            continue
        for file in ("pid", "monitor.pid"):
            pid = processes.read_pid(f"{directory}/{name}/{file}")
            if pid and processes.mentions(pid, id):
                started = processes.start_time(pid)
                processes.kill_tree(pid)
                await processes.ended(pid, started)
        bundle.delete(f"{directory}/{name}")


async def remove_leftovers(sandboxes: Sandboxes, lifecycle: Lifecycle) -> None:
    """Remove containers and sandboxes on disk, in the kernel and among processes that no record knows."""
    engine = lifecycle.engine
    layout = engine.layout
    known = lifecycle.records
    for directory in (layout.container_data, layout.container_runs):
        for id in state.directories(directory):
            if id not in known:
                await lifecycle.end_all_of(id)
                await engine.call(lambda id=id: bundle.discard(layout, id))  # type: ignore[misc]
    for name in (*state.directories(layout.netns), *state.directories(layout.sandbox_runs)):
        if name not in sandboxes.records:
            await sandboxes.network.detach(name)
            await engine.call(lambda name=name: sandbox.unmake(layout, engine.hierarchies, name, None))  # type: ignore[misc]
    for id in state.directories(layout.oci):
        if id not in known and id not in sandboxes.records:
            bundle.delete(f"{layout.oci}/{id}")
    for id in state.directories(layout.exits):
        if id not in known:
            bundle.delete(f"{layout.exits}/{id}")
    await _clear_cgroups(sandboxes, lifecycle)


async def _clear_cgroups(sandboxes: Sandboxes, lifecycle: Lifecycle) -> None:
    """Kill and remove cgroups below ours that belong to no record."""
    kept = {record.cgroup for record in lifecycle.records.values()}
    layout = lifecycle.engine.layout
    for id, record in sandboxes.records.items():
        kept |= {layout.cgroup(record.sandbox.config.cgroup), layout.cgroup(record.sandbox.config.cgroup, id)}
    ancestors = {parent for path in kept for parent in _parents(path)}
    for path in await lifecycle.engine.call(lambda: cgroups.tree(lifecycle.engine.hierarchies, layout.instance)):
        if path not in kept and path not in ancestors and not any(path.startswith(each + "/") for each in kept):
            await lifecycle.clear_cgroup(path)


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def remove_instance(engine: Engine) -> None:
    """Remove what is left when no sandbox is: cgroups, mounts, directories."""
    cgroups.remove(engine.hierarchies, engine.layout.instance)
    mounts.unmount_below(engine.layout.run)
    for path in engine.layout.everything():
        bundle.delete(path)
