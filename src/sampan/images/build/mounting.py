"""The mounts of a RUN: what they contribute to the cache's key, and how they come to be when it runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sampan.host import mounts
from sampan.images.build import copying, metadata, rootfs, selection
from sampan.images.build.copying import Digest
from sampan.images.build.errors import BuildError
from sampan.images.build.ignore import Ignore
from sampan.images.build.instructions import RunMount
from sampan.images.build.job import Bind
from sampan.images.build.metadata import Variables
from sampan.images.build.packing import Attributes
from sampan.images.build.placing import Piece
from sampan.images.build.request import Request, Secret
from sampan.images.build.rootfs import Rootfs
from sampan.images.build.state import State
from sampan.images.build.workshop import Bench, Workshop

PRIVATE = 64  # directories that one private cache may have
LARGEST_SECRET = 512 << 10


@dataclass(slots=True)
class Prepared:
    binds: list[Bind] = field(default_factory=list)
    memories: list[tuple[str, int]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A mount with its variables replaced; `layers` are those of the stage or image that it shows."""

    mount: RunMount
    layers: Sequence[str] | None = None
    chain: Sequence[str] = ()


def expand(mount: RunMount, state: State, variables: Variables) -> RunMount:
    """Raises ValueError. The target becomes absolute."""
    target = variables.word(mount.target, state)
    if mount.kind == "secret" and not target and not mount.env:
        target = f"/run/secrets/{mount.id}"
    if target:
        target = metadata.absolute(target, state)
        if target == "/":
            raise ValueError("a mount cannot have the target /")
    source, id = variables.word(mount.source, state), variables.word(mount.id, state)
    return replace(mount, target=target, source=source, id=id)


def describe(plans: Sequence[Plan], context: Rootfs, ignore: Ignore, digest: Digest) -> list[Any]:
    """For the cache's key: what a command sees of its mounts. Caches and secrets do not count. Blocking."""
    found: list[Any] = []
    for plan in plans:
        mount = plan.mount
        if mount.kind == "bind" and plan.layers is None:
            source = _in_context(context, mount, ignore)
            default = Attributes() if not source.path else None
            items = tuple(selection.items(context, source, ignore))
            piece = Piece("", context.path, source.directory, items, default=default)
            found.append(["context", mount.target, mount.readonly, copying.describe([piece], digest)])
        elif mount.kind == "bind":
            found.append(["stage", mount.target, mount.source, mount.readonly, list(plan.chain)])
        else:
            found.append([mount.kind, mount.target, mount.id, mount.env, mount.size])
    return found


def _in_context(context: Rootfs, mount: RunMount, ignore: Ignore) -> selection.Source:
    return selection.select(context, mount.source.replace("*", "[*]") or ".", ignore)[0]


class Mounts:
    """Makes the mounts of one RUN. Locks of caches are held until `stack` is closed."""

    def __init__(
        self, workshop: Workshop, bench: Bench, request: Request, context: Rootfs, stack: contextlib.ExitStack
    ) -> None:
        self._workshop = workshop
        self._bench = bench
        self._request = request
        self._context = context
        self._stack = stack
        self.made = Prepared()

    def prepare(self, plans: Sequence[Plan]) -> Prepared:
        """Blocking, also while others hold a cache that is `locked`. Raises BuildError, OSError."""
        for number, plan in enumerate(plans):
            mount = plan.mount
            if mount.kind == "tmpfs":
                self.made.memories.append((mount.target, mount.size))
            elif mount.kind == "secret":
                self._secret(mount, f"{self._bench.run}/secret-{number}")
            elif mount.kind == "cache":
                self.made.binds.append(Bind(self._cache(mount), mount.target, mount.readonly))
            elif plan.layers is None:
                self.made.binds.append(self._context_bind(mount, f"mount-{number}"))
            else:
                self.made.binds.append(self._stage_bind(plan, f"mount-{number}"))
        return self.made

    def _secret(self, mount: RunMount, path: str) -> None:
        secret = self._request.secrets.get(mount.id)
        if secret is None:
            if mount.required:
                raise BuildError(f"the secret {mount.id} is missing", f"give it with --secret id={mount.id},src=FILE")
            return
        content = read_secret(mount.id, secret)
        if mount.env:
            self.made.env[mount.env] = content.decode(errors="surrogateescape")
        if mount.target:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(path, flags, 0o600), "wb") as file:
                file.write(content)
                os.fchown(file.fileno(), mount.uid, mount.gid)
                os.fchmod(file.fileno(), 0o400 if mount.mode is None else mount.mode)
            self.made.binds.append(Bind(path, mount.target, readonly=True))

    def _cache(self, mount: RunMount) -> str:
        name = hashlib.sha256(mount.id.encode()).hexdigest()[:24]
        base = f"{self._workshop.data}/mounts/{name}"
        if mount.sharing != "private":
            how = fcntl.LOCK_EX if mount.sharing == "locked" else fcntl.LOCK_SH
            return self._locked(base, how, mount)
        for number in range(PRIVATE):
            with contextlib.suppress(BlockingIOError):
                return self._locked(f"{base}-{number}", fcntl.LOCK_EX | fcntl.LOCK_NB, mount)
        raise BuildError(f"the private cache {mount.id} is in use {PRIVATE} times")

    def _locked(self, path: str, how: int, mount: RunMount) -> str:
        os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, how)
        except BaseException:
            os.close(lock)
            raise
        self._stack.callback(os.close, lock)
        if not os.path.isdir(path):
            os.makedirs(path, exist_ok=True)
            os.chown(path, mount.uid, mount.gid)
            os.chmod(path, 0o755 if mount.mode is None else mount.mode)
        return path

    def _context_bind(self, mount: RunMount, name: str) -> Bind:
        source = _in_context(self._context, mount, self._request.ignore)
        hidden = list(selection.hidden(self._context, self._request.ignore))
        if mount.readonly and not hidden:
            return Bind(f"{self._context.path}/{source.path}".rstrip("/"), mount.target, readonly=True)
        view = self._overlay([self._context.path], name, writable=True)
        for path in hidden:
            os.makedirs(os.path.dirname(f"{view.upper}/{path}"), exist_ok=True)
            os.mknod(f"{view.upper}/{path}", 0o020600, os.makedev(0, 0))
        mounts.overlay(view.path, view.lower, view.upper, view.work)
        return Bind(f"{view.path}/{source.path}".rstrip("/"), mount.target, mount.readonly)

    def _stage_bind(self, plan: Plan, name: str) -> Bind:
        assert plan.layers is not None
        view = self._overlay(plan.layers, name, writable=not plan.mount.readonly)
        mounts.overlay(view.path, view.lower, view.upper, view.work)
        with rootfs.opened(view.path) as tree:
            if tree.status(plan.mount.source) is None:
                raise BuildError(f"{plan.mount.source} is not in {plan.mount.from_}")
            path = tree.resolve(plan.mount.source)
        return Bind(f"{view.path}/{path}".rstrip("/"), plan.mount.target, plan.mount.readonly)

    def _overlay(self, lower: Sequence[str], name: str, *, writable: bool) -> _View:
        base = f"{self._bench.data}/{name}"
        for part in ("view", "empty", "upper", "work"):
            os.makedirs(f"{base}/{part}")
        if writable:
            return _View(f"{base}/view", list(lower) or [f"{base}/empty"], f"{base}/upper", f"{base}/work")
        return _View(f"{base}/view", [*lower, f"{base}/empty"], "", "")


@dataclass(frozen=True, slots=True)
class _View:
    path: str
    lower: list[str]
    upper: str
    work: str


def read_secret(id: str, secret: Secret) -> bytes:
    """Raises BuildError."""
    if not secret.path:
        return secret.value
    try:
        with open(secret.path, "rb") as file:
            content = file.read(LARGEST_SECRET + 1)
    except OSError as error:
        raise BuildError(f"the secret {id}: {error.filename}: {os.strerror(error.errno or 0).lower()}") from error
    if len(content) > LARGEST_SECRET:
        raise BuildError(f"the secret {id} is larger than {LARGEST_SECRET >> 10} KiB")
    return content
