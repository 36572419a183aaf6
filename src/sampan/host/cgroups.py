"""Control groups: paths, limits, figures and killing, for cgroup v1 hierarchies and the unified v2.

A path is relative, such as `sampan/burstable/pod1/abc`, and means the same place in every hierarchy. See the
kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sampan.host.containers import Resources, Stats

ROOT = "/sys/fs/cgroup"
V2_CONTROLLERS = ("cpu", "memory", "pids", "io", "cpuset")


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where the hierarchies are mounted. `controllers` is empty for v2; `named` has those without a controller."""

    unified: bool
    root: str
    directories: tuple[str, ...]
    controllers: dict[str, str]


def detect(root: str = ROOT) -> Hierarchies:
    """What this machine has; hybrid machines count as v1, because their controllers are there."""
    if os.path.exists(f"{root}/cgroup.controllers"):
        return Hierarchies(True, root, (root,), {})
    directories = []
    controllers = {}
    for name in sorted(os.listdir(root)):
        directory = os.path.realpath(f"{root}/{name}")
        if not os.path.exists(f"{directory}/cgroup.procs"):
            continue
        if directory not in directories:
            directories.append(directory)
        for controller in name.split(","):
            controllers[controller] = directory
    return Hierarchies(False, root, tuple(directories), controllers)


def create(hierarchies: Hierarchies, path: str, resources: Resources) -> None:
    """Make a cgroup (a pod's) and set its limits. Idempotent."""
    if hierarchies.unified:
        _create_unified(hierarchies.root, path)
    else:
        for controller in ("cpu", "cpuacct", "memory", "pids"):
            if controller in hierarchies.controllers:
                os.makedirs(f"{hierarchies.controllers[controller]}/{path}", exist_ok=True)
    limit(hierarchies, path, resources)


def _create_unified(root: str, path: str) -> None:
    """In v2 a controller reaches a child only when every ancestor hands it down."""
    have = _words(f"{root}/cgroup.controllers")
    enable = " ".join(f"+{name}" for name in V2_CONTROLLERS if name in have)
    current = root
    for part in path.split("/"):
        _write(f"{current}/cgroup.subtree_control", enable)
        current = f"{current}/{part}"
        os.makedirs(current, exist_ok=True)
    _write(f"{current}/cgroup.subtree_control", enable)


def limit(hierarchies: Hierarchies, path: str, resources: Resources) -> None:
    """Set the limits of an existing cgroup; 0 lifts a limit."""
    settings = _v2_settings(resources) if hierarchies.unified else _v1_settings(resources)
    for controller, file, value in settings:
        directory = hierarchies.root if hierarchies.unified else hierarchies.controllers.get(controller, "")
        if directory:
            _write(f"{directory}/{path}/{file}", value)


def _v1_settings(resources: Resources) -> list[tuple[str, str, str]]:
    return [
        ("cpu", "cpu.shares", str(max(2, resources.cpu_shares) if resources.cpu_shares else 1024)),
        ("cpu", "cpu.cfs_period_us", str(resources.cpu_period or 100_000)),
        ("cpu", "cpu.cfs_quota_us", str(resources.cpu_quota or -1)),
        ("memory", "memory.limit_in_bytes", str(resources.memory_limit or -1)),
        ("pids", "pids.max", str(resources.pids_limit or "max")),
    ]


def _v2_settings(resources: Resources) -> list[tuple[str, str, str]]:
    period = resources.cpu_period or 100_000
    return [
        ("cpu", "cpu.weight", str(weight(resources.cpu_shares))),
        ("cpu", "cpu.max", f"{resources.cpu_quota or 'max'} {period}"),
        ("memory", "memory.max", str(resources.memory_limit or "max")),
        ("pids", "pids.max", str(resources.pids_limit or "max")),
    ]


def weight(shares: int) -> int:
    """cpu.weight (1 to 10000) of cpu.shares (2 to 262144), as the OCI runtimes convert."""
    return 1 + (min(max(shares, 2), 262_144) - 2) * 9999 // 262_142 if shares else 100


def remove(hierarchies: Hierarchies, path: str) -> list[str]:
    """Remove a cgroup and those below it, everywhere; returns directories that processes still keep busy."""
    busy = []
    for directory in _existing(hierarchies, path):
        for current, _, _ in os.walk(directory, topdown=False):
            try:
                os.rmdir(current)
            except FileNotFoundError:
                continue
            except OSError:
                busy.append(current)
    return busy


def _existing(hierarchies: Hierarchies, path: str) -> list[str]:
    """The cgroup in every hierarchy that has it; a hybrid machine's `unified` is among them."""
    return [f"{directory}/{path}" for directory in hierarchies.directories if os.path.isdir(f"{directory}/{path}")]


def tree(hierarchies: Hierarchies, path: str) -> list[str]:
    """A cgroup and all below it, in any hierarchy, the deepest first."""
    found = set()
    for directory in hierarchies.directories:
        for current, _, _ in os.walk(f"{directory}/{path}"):
            found.add(os.path.relpath(current, directory))
    return sorted(found, key=lambda each: each.count("/"), reverse=True)


def processes(hierarchies: Hierarchies, path: str) -> set[int]:
    """Processes in the cgroup and below it."""
    found: set[int] = set()
    for directory in _existing(hierarchies, path):
        for current, _, _ in os.walk(directory):
            found.update(int(word) for word in _words(f"{current}/cgroup.procs"))
    return found


def kill(hierarchies: Hierarchies, path: str) -> int:
    """SIGKILL everything in it, in one go where the kernel offers cgroup.kill; returns how many there were."""
    if hierarchies.unified and os.path.exists(f"{hierarchies.root}/{path}/cgroup.kill"):
        count = len(processes(hierarchies, path))
        _write(f"{hierarchies.root}/{path}/cgroup.kill", "1")
        return count
    killed: set[int] = set()
    while left := processes(hierarchies, path) - killed:
        for pid in left:
            killed.add(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    return len(killed)


def oom_kills(hierarchies: Hierarchies, path: str) -> int:
    """How many of its processes the kernel killed for want of memory."""
    if hierarchies.unified:
        return _table(f"{hierarchies.root}/{path}/memory.events").get("oom_kill", 0)
    memory = hierarchies.controllers.get("memory")
    return _table(f"{memory}/{path}/memory.oom_control").get("oom_kill", 0) if memory else 0


def stats(hierarchies: Hierarchies, path: str) -> Stats | None:
    """Figures of a cgroup; None when it is gone. The working set is usage without inactive file pages."""
    read: Callable[[Hierarchies, str], Stats] = _stats_v2 if hierarchies.unified else _stats_v1
    try:
        return read(hierarchies, path)
    except (FileNotFoundError, OSError) as error:
        if isinstance(error, FileNotFoundError) or error.errno == 19:  # ENODEV: removed while reading
            return None
        raise


def _stats_v1(hierarchies: Hierarchies, path: str) -> Stats:
    memory = f"{hierarchies.controllers['memory']}/{path}"
    usage = int(_text(f"{memory}/memory.usage_in_bytes"))
    table = _table(f"{memory}/memory.stat")
    return Stats(
        at=time.time(),
        cpu_usage=int(_text(f"{hierarchies.controllers['cpuacct']}/{path}/cpuacct.usage")),
        memory_usage=usage,
        memory_working_set=max(0, usage - table.get("total_inactive_file", 0)),
        memory_rss=table.get("total_rss", 0),
        pids=_number(f"{hierarchies.controllers.get('pids', '')}/{path}/pids.current"),
    )


def _stats_v2(hierarchies: Hierarchies, path: str) -> Stats:
    directory = f"{hierarchies.root}/{path}"
    usage = int(_text(f"{directory}/memory.current"))
    table = _table(f"{directory}/memory.stat")
    return Stats(
        at=time.time(),
        cpu_usage=_table(f"{directory}/cpu.stat").get("usage_usec", 0) * 1000,
        memory_usage=usage,
        memory_working_set=max(0, usage - table.get("inactive_file", 0)),
        memory_rss=table.get("anon", 0),
        pids=_number(f"{directory}/pids.current"),
    )


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _number(path: str) -> int:
    try:
        return int(_text(path))
    except FileNotFoundError:
        return 0


def _words(path: str) -> Iterable[str]:
    try:
        return _text(path).split()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    except OSError as error:
        if error.errno == 19:  # ENODEV: removed while reading
            return ()
        raise


def _table(path: str) -> dict[str, int]:
    try:
        lines = _text(path).splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _write(path: str, value: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        message = f"write {value} to {path}: {os.strerror(error.errno or 0).lower()}"
        raise OSError(error.errno, message) from error
