"""A container runtime of our own to use and break: an image of busybox, a network of one interface, probes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sampan.host import cgroups, mounts
from sampan.host.containers import Container, ContainerConfig, Process, Sandbox, SandboxConfig, SecurityConfig
from sampan.host.layout import Layout
from sampan.host.runtime import OCIRuntime
from sampan.images import make
from sampan.images.store import ImageStore

DEADLINE = 30.0
IMAGE = "sampan.test/busybox:1"
APPLETS = (
    "awk cat chmod chown cp cut date dd df dirname echo env false find grep head hostname httpd id kill ln ls mkdir "
    "mknod mount mv nc printf ps pwd readlink rm sed seq sh sleep sort stat stty sync tail test touch tr true tty "
    "umount uname unshare wc wget"
)
PASSWD = "root:x:0:0:root:/:/bin/sh\nweb:x:1000:1001:web:/tmp:/bin/sh\n"
GROUP = "root:x:0:\nweb:x:1001:\nextra:x:2000:web\n"


def fill(root: Path) -> None:
    """Write the files of the test image."""
    for name in ("bin", "etc", "proc", "tmp", "data"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    busybox = shutil.which("busybox")
    assert busybox, "busybox is missing: apt-get install busybox-static"
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc" / "passwd").write_text(PASSWD)
    (root / "etc" / "group").write_text(GROUP)


async def add_image(store: ImageStore, name: str = IMAGE, **config: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory))
        settings = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "FROM=image"], **config}
        await make.from_directory(store, directory, name, settings)


class OneInterface:
    """A pod network without a bridge: a veth pair of which both ends are in the pod's namespace."""

    def __init__(self) -> None:
        self.attached: dict[str, str] = {}
        self.refuse = ""

    async def attach(self, sandbox_id: str, netns: str, config: SandboxConfig) -> tuple[str, ...]:
        if self.refuse:
            raise OSError(self.refuse)
        self.attached[sandbox_id] = netns
        return ("10.9.9.2",)

    async def detach(self, sandbox_id: str) -> None:
        self.attached.pop(sandbox_id, None)


@dataclass
class Lab:
    """Where one instance lives; `open` may be called again, as a new process of ours would."""

    root: Path
    instance: str
    images: ImageStore
    network: OneInterface = field(default_factory=OneInterface)
    runtime: OCIRuntime | None = None

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    async def open(self) -> OCIRuntime:
        self.runtime = await OCIRuntime.open(self.instance, str(self.data), str(self.run), self.images, self.network)
        return self.runtime

    async def reopen(self) -> OCIRuntime:
        assert self.runtime is not None
        await self.runtime.close()
        return await self.open()

    def sandbox(self, **fields: Any) -> SandboxConfig:
        uid = os.urandom(6).hex()
        base = SandboxConfig(
            uid=uid,
            name="pod",
            namespace="default",
            hostname="pod",
            cgroup=f"burstable/pod{uid}",
            log_directory=str(self.logs / uid),
        )
        return replace(base, **fields)

    async def run_sandbox(self, **fields: Any) -> Sandbox:
        assert self.runtime is not None
        return await self.runtime.run_sandbox(self.sandbox(**fields))

    async def start(self, sandbox: Sandbox, script: str = "", **fields: Any) -> str:
        """Create and start a container that runs a shell script, or what `command` says."""
        assert self.runtime is not None
        id = await self.runtime.create_container(sandbox.id, container(script, **fields))
        await self.runtime.start_container(id)
        return id

    async def output(self, script: str, sandbox: SandboxConfig | None = None, **fields: Any) -> str:
        """What a script printed in a pod of its own; it must succeed."""
        assert self.runtime is not None
        pod = await self.runtime.run_sandbox(sandbox or self.sandbox())
        id = await self.start(pod, script, **fields)
        ended = await self.exited(id)
        text = self.log(pod, ended.config)
        assert ended.exit_code == 0, f"{ended.exit_code} {ended.reason}: {text}"
        await self.runtime.remove_sandbox(pod.id)
        return text

    async def ready(self, id: str) -> None:
        """Wait until the container has made /data/ready."""
        assert self.runtime is not None
        wait = "until [ -e /data/ready ]; do sleep 0.01; done"
        result = await self.runtime.run(id, ["sh", "-c", wait], DEADLINE)
        assert result.code == 0

    async def exited(self, id: str) -> Container:
        return await self.until(id, lambda container: container.state == "exited")

    async def until(self, id: str, wanted: Callable[[Container], bool]) -> Container:
        assert self.runtime is not None
        changes = self.runtime.changes()
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await self.runtime.container(id)
                assert found is not None
                if wanted(found):
                    return found
                await anext(changes)

    def log_path(self, sandbox: Sandbox, config: ContainerConfig) -> Path:
        return Path(sandbox.config.log_directory) / config.log_path

    def log(self, sandbox: Sandbox, config: ContainerConfig) -> str:
        """The text of a CRI log without times and stream names."""
        return "".join(text for _, text in records(self.log_path(sandbox, config).read_text()))

    def leftovers(self, *, live: bool = False) -> list[str]:
        """What of this instance is still in the kernel, among the processes or in its directories.

        A live instance may keep its standing directories and the cgroups above its pods'.
        """
        found = mounts.below(str(self.run))
        groups = cgroups.tree(cgroups.detect(), self.instance)
        found += [path for path in groups if not live or path.count("/") > 1]
        found += [f"process {pid}: {line}" for pid, line in processes_of(str(self.root))]
        standing = Layout(self.instance, str(self.data), str(self.run)).everything() if live else ()
        paths = [str(path) for directory in (self.data, self.run) for path in directory.rglob("*")]
        return found + [path for path in paths if not path.endswith("oci-runtime.json") and path not in standing]


def container(script: str = "", **fields: Any) -> ContainerConfig:
    fields.setdefault("command", ("/bin/sh", "-c", script))
    fields.setdefault("log_path", "main/0.log")
    fields.setdefault("name", "main")
    return ContainerConfig(image=fields.pop("image", IMAGE), **fields)


def security(**fields: Any) -> SecurityConfig:
    return SecurityConfig(**fields)


def records(text: str) -> list[tuple[str, str]]:
    """(stream, text) of each record of a CRI log; a partial line (P) has no line feed."""
    found = []
    for line in text.splitlines():
        _time, stream, tag, content = line.split(" ", 3)
        found.append((stream, content + ("\n" if tag == "F" else "")))
    return found


def processes_of(text: str) -> list[tuple[int, str]]:
    """Processes whose command line has a text, such as conmon's with a directory of the instance."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in line and int(path.name) != os.getpid():
            found.append((int(path.name), line))
    return found


async def read(process: Process, wanted: bytes) -> bytes:
    """Read a session's output until a text has come."""
    found = b""
    async with asyncio.timeout(DEADLINE):
        async for _, chunk in process.output():
            found += chunk
            if wanted in found:
                return found
    raise AssertionError(f"{wanted!r} is not in {found!r}")


@contextlib.asynccontextmanager
async def lab(images: ImageStore) -> AsyncIterator[Lab]:
    root = Path(tempfile.mkdtemp(prefix="sampan-host-"))
    made = Lab(root, f"t{os.urandom(4).hex()}", images)
    try:
        await made.open()
        yield made
    finally:
        if made.runtime is not None:
            await made.runtime.teardown()
        left = made.leftovers()
        shutil.rmtree(root)
        assert left == []
