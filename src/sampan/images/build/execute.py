"""A RUN: the command in a container of its own on the layers so far; what it changes stays in the upper directory.

Both outputs of the container are one pipe, so that they keep their order (see foreground). The network is the
host's, the rest is what any container gets. Mount points that the image lacks lie in a layer that is thrown away, so
that they do not end up in the image.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sampan.host import capabilities, cgroups, mounts, processes, seccomp, spec, state, users
from sampan.host.containers import ContainerConfig, Mount, RuntimeFailure, SandboxConfig, SecurityConfig
from sampan.host.images import ImageConfig
from sampan.host.spec import Place
from sampan.images.build import foreground, rootfs
from sampan.images.build.errors import BuildError
from sampan.images.build.job import Job
from sampan.images.build.rootfs import Rootfs
from sampan.images.build.workshop import Bench, Tools, Workshop

HOSTNAME = "build"
_SHARED = ("/etc/resolv.conf", "/etc/hosts")
_OURS = ("proc", "dev", "sys")
_SHM = "/dev/shm"  # noqa: S108  the place of shared memory
LINE = 4096  # bytes of a line that are kept


async def run(workshop: Workshop, bench: Bench, job: Job, output: Callable[[str], None]) -> int:
    """The exit code; `output` gets each line. What changed is in `upper(bench)`. Raises BuildError, OSError."""
    tools = await workshop.tools()
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, lambda: _prepare(workshop, tools, bench, job))
    except RuntimeFailure as error:
        raise BuildError(str(error)) from error
    program = tools.program
    # With a log file its warnings are not among what the command wrote, and an error comes in plain words.
    pidfile = f"{bench.run}/pid"
    command = [
        *(sys.executable, "-I", "-S", foreground.__file__, pidfile),
        *(program.path, "--root", program.root, "--log", f"{bench.run}/log"),
        *("run", "--detach", "--pid-file", pidfile, "--bundle", bench.run, bench.id),
    ]
    try:
        return await _watch(command, output, lambda: cgroups.kill(tools.hierarchies, workshop.cgroup(bench.id)))
    finally:
        await asyncio.shield(_finish(workshop, tools, bench))


def upper(bench: Bench) -> str:
    return f"{bench.data}/upper"


def _prepare(workshop: Workshop, tools: Tools, bench: Bench, job: Job) -> None:
    targets = [*_SHARED, *(bind.target for bind in job.binds), *(target for target, _ in job.memories)]
    directories = {target for target, _ in job.memories}
    directories.update(bind.target for bind in job.binds if os.path.isdir(bind.source))
    stubs = f"{bench.data}/stubs"
    os.mkdir(stubs, 0o755)
    with rootfs.merged(job.layers, bench.data) as view:
        _check_program(view, job)
        top = view.attributes("")
        _copy_attributes(stubs, top.mode, top.uid, top.gid)
        for target in (*(f"/{name}" for name in _OURS), *targets):
            _stub(view, stubs, target, directory=target in directories or target[1:] in _OURS)
    for name in ("upper", "work"):
        os.mkdir(f"{bench.data}/{name}", 0o755)
    _copy_attributes(upper(bench), top.mode, top.uid, top.gid)
    root = f"{bench.run}/rootfs"
    os.mkdir(root)
    mounts.overlay(root, [stubs, *job.layers], upper(bench), f"{bench.data}/work")
    document = _document(workshop, tools, bench, job, root)
    state.write_file(f"{bench.run}/config.json", msgspec.json.encode(document))


def _check_program(view: Rootfs, job: Job) -> None:
    """Raises BuildError for a program that is nowhere: the OCI runtime's words would name its own steps."""
    program = job.words[0]
    places = job.env.get("PATH", "").split(":") if "/" not in program else [job.workdir]
    lent = [*(bind.target for bind in job.binds), *(target for target, _ in job.memories)]
    for place in places:
        path = posixpath.normpath(posixpath.join("/", place, program))
        if view.status(path) is not None or any(f"{path}/".startswith(f"{target.rstrip('/')}/") for target in lent):
            return
    hint = 'its shell runs a RUN: build on an image that has it, or write RUN ["/program", "argument"]'
    raise BuildError(f"the image has no {program}", hint if program.endswith("sh") else "is its name right?")


def _stub(view: Rootfs, stubs: str, target: str, *, directory: bool) -> None:
    """A mount point that the image lacks, below directories like the image's own."""
    path = view.resolve(target)
    if not path or view.status(path) is not None:
        return
    parts = path.split("/")
    for length in range(1, len(parts)):
        parent = "/".join(parts[:length])
        if not os.path.isdir(f"{stubs}/{parent}"):
            os.mkdir(f"{stubs}/{parent}", 0o755)
            if view.is_directory(parent):
                found = view.attributes(parent)
                _copy_attributes(f"{stubs}/{parent}", found.mode, found.uid, found.gid)
    if os.path.lexists(f"{stubs}/{path}"):
        return
    if directory:
        os.mkdir(f"{stubs}/{path}", 0o755)
    else:
        os.close(os.open(f"{stubs}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def _copy_attributes(path: str, mode: int, uid: int, gid: int) -> None:
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def _document(workshop: Workshop, tools: Tools, bench: Bench, job: Job, root: str) -> dict[str, Any]:
    # In the host's network it may call others, and not listen to what all pods say.
    dropped = ("NET_RAW",) if job.network else ()
    security = SecurityConfig(
        privileged=job.privileged, masked_paths=not job.privileged, capabilities_drop=() if job.privileged else dropped
    )
    identity = users.resolve(root, job.user, security)
    granted = capabilities.effective(security, tools.machine.capabilities)
    filters = seccomp.profile("RuntimeDefault", job.privileged, granted, tools.machine.architecture)
    shared = [Mount(path, path, readonly=True) for path in _SHARED if os.path.exists(path)]
    binds = [Mount(bind.source, bind.target, readonly=bind.readonly) for bind in job.binds]
    container = ContainerConfig(
        name="build",
        image="",
        command=tuple(job.words),
        working_dir=job.workdir,
        env=tuple({"HOME": _home(root, identity.uid), **job.env}.items()),
        mounts=(*shared, *binds),
        security=security,
    )
    sandbox = SandboxConfig(uid=bench.id, name="build", namespace="", hostname=HOSTNAME)
    namespaces = {"pid": "", "ipc": "", "uts": "", "mount": ""}
    namespaces |= {"cgroup": ""} if tools.machine.unified else {}
    namespaces |= {} if job.network else {"network": ""}
    place = Place(root, workshop.cgroup(bench.id), namespaces)
    document = spec.build(sandbox, container, ImageConfig(), identity, place, tools.machine, seccomp=filters)
    document["hostname"] = HOSTNAME
    document["mounts"].append(_tmpfs(_SHM, 64 << 20))
    document["mounts"] += [_tmpfs(target, size) for target, size in job.memories]
    return document


def _tmpfs(target: str, size: int) -> dict[str, Any]:
    options = ["nosuid", "nodev", "mode=1777"] + ([f"size={size}"] if size else [])
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options}


def _home(root: str, uid: int) -> str:
    for line in users.read_inside(root, "etc/passwd").splitlines():
        row = line.split(":")
        if len(row) >= 6 and row[2] == str(uid):
            return row[5] or "/"
    return "/root" if uid == 0 else "/"


async def _watch(command: Sequence[str], output: Callable[[str], None], end: Callable[[], object]) -> int:
    """Run the container to its end; a cancelled call ends it, and so does the death of who waits for it (`end`)."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = processes.spawn(command, stdio=(null, writer, writer))
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(null)
        os.close(writer)

    def check(read: asyncio.Task[None]) -> None:
        if read.cancelled() or read.exception() is not None:
            child.kill(signal.SIGTERM)

    reading = asyncio.create_task(read_lines(reader, output))
    reading.add_done_callback(check)
    try:
        code = await child.wait()
        await asyncio.get_running_loop().run_in_executor(None, end)
        await reading
        return code
    except BaseException:
        reading.cancel()
        child.kill(signal.SIGTERM)
        await child.wait()
        raise


async def read_lines(reader: int, output: Callable[[str], None]) -> None:
    """Hand on the lines of a pipe as they come, to its end; closes it."""
    os.set_blocking(reader, False)
    rest = b""
    try:
        while True:
            try:
                chunk = os.read(reader, 65536)
            except BlockingIOError:
                await processes.readable(reader)
                continue
            if not chunk:
                break
            *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
            for line in lines:
                output(_text(line))
            rest = rest[-LINE:]
        if rest:
            output(_text(rest))
    finally:
        os.close(reader)


def _text(line: bytes) -> str:
    """What a terminal would show of it: behind the last carriage return, without control characters."""
    shown = line[-LINE:].rpartition(b"\r")[2].decode(errors="replace")
    return "".join(character if character.isprintable() or character == "\t" else "" for character in shown)


async def _finish(workshop: Workshop, tools: Tools, bench: Bench) -> None:
    """Nothing of the container runs on; its root is unmounted."""
    cgroup = workshop.cgroup(bench.id)
    if os.path.exists(f"{tools.program.root}/{bench.id}"):
        program = tools.program
        await processes.run([program.path, "--root", program.root, "delete", "--force", bench.id])

    def clear() -> None:
        cgroups.kill(tools.hierarchies, cgroup)
        mounts.unmount(f"{bench.run}/rootfs")
        cgroups.remove(tools.hierarchies, cgroup)

    await asyncio.get_running_loop().run_in_executor(None, clear)
