"""`sampan cp`: files to and from containers, through `tar` there."""

from __future__ import annotations

import argparse
import asyncio
import posixpath
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlencode

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, pods
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan cp ./site web:/srv/site
  sampan cp other/web:/var/log/app.log ./app.log -c app"""

CHUNK = 256 * 1024


class Place(NamedTuple):
    """`pod` is "" for a local path."""

    namespace: str
    pod: str
    path: str


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    add = parser.add_argument
    add("-c", "--container", default="", metavar="NAME", help="this container")
    add("--no-preserve", action="store_true", help="do not keep ownership and permissions")
    add("--retries", type=int, default=0, help=argparse.SUPPRESS)


def place(text: str) -> Place:
    """`[[namespace/]pod:]path`"""
    where, colon, path = text.partition(":")
    if not colon or where.startswith((".", "/")):
        return Place("", "", text)
    namespace, _, pod = where.rpartition("/")
    if not pod or not path or "/" in namespace:
        raise CommandError(
            f"error: filespec must match the canonical format: [[namespace/]pod:]file/path, not {text!r}"
        )
    return Place(namespace, pod, path)


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) != 2:
        raise CommandError("error: source and destination are required\nSee 'sampan cp -h' for help and examples")
    source, goal = map(place, options.args)
    if bool(source.pod) == bool(goal.pod):
        raise CommandError("error: one of src or dest must be a remote file specification")
    remote = source if source.pod else goal
    async with connect(options, context) as session:
        session.namespace = remote.namespace or session.namespace
        pod = await pods.of_word(session, f"pod/{remote.pod}")
        container = pods.container(session, pod, options.container)
        if source.pod:
            return await _fetch(session, pod, container, source.path, Path(goal.path))
        return await _put(session, pod, container, Path(source.path), goal.path)


# --- to the container ---


async def _put(session: Session, pod: Document, container: str, source: Path, goal: str) -> int:
    if not source.exists():
        raise CommandError(f"error: {source} doesn't exist in local filesystem")
    # Into a directory that exists; else the goal is the new name.
    inside = await _run(session, pod, container, ["test", "-d", goal]) == 0
    folder, name = (goal, source.resolve().name) if inside else posixpath.split(goal.rstrip("/"))
    with tempfile.TemporaryFile() as archive:
        await asyncio.to_thread(_pack, source, name, archive)
        archive.seek(0)
        command = ["tar", "-xmf", "-", "-C", folder or "."]
        if session.options.no_preserve:
            command[1:1] = ["--no-same-permissions", "--no-same-owner"]
        code = await _run(session, pod, container, command, stdin=_read(archive), loud=True)
    if code:
        session.context.err(f"command terminated with exit code {code}")
    return code


def _pack(source: Path, name: str, archive: IO[bytes]) -> None:
    with tarfile.open(fileobj=archive, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        tar.add(source, arcname=name)


async def _read(archive: IO[bytes]) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(archive.read, CHUNK):
        yield data


# --- from the container ---


async def _fetch(session: Session, pod: Document, container: str, source: str, goal: Path) -> int:
    clean = posixpath.normpath(source)
    folder, name = posixpath.split(clean)
    with tempfile.TemporaryFile() as archive:
        command = ["tar", "cf", "-", "-C", folder or ".", name or "."]
        code = await _run(session, pod, container, command, out=archive, loud=True)
        if code:
            session.context.err(f"command terminated with exit code {code}")
            return code
        archive.seek(0)
        return await asyncio.to_thread(_unpack, session, archive, name or ".", goal)


def _unpack(session: Session, archive: IO[bytes], name: str, goal: Path) -> int:
    """Under the goal's name. What would leave the goal, and links, which could lead out of it, are left out."""
    if goal.is_dir():
        goal = goal / name
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            relative = posixpath.relpath(posixpath.normpath(member.name), name)
            if relative.startswith("..") or posixpath.isabs(relative):
                session.context.err(f"warning: file {member.name!r} is outside target destination, skipping")
                continue
            path = goal if relative == "." else goal / relative
            if member.issym() or member.islnk():
                session.context.err(f"warning: skipping symlink: {str(path)!r} -> {member.linkname!r}")
            elif member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(tar, member, path, keep=not session.options.no_preserve)
    return 0


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, *, keep: bool) -> None:
    content = tar.extractfile(member)
    with path.open("wb") as file:
        while content is not None and (data := content.read(CHUNK)):
            file.write(data)
    if keep:
        path.chmod(member.mode & 0o777)


async def _run(
    session: Session,
    pod: Document,
    container: str,
    command: list[str],
    *,
    stdin: AsyncIterator[bytes] | None = None,
    out: IO[bytes] | None = None,
    loud: bool = False,
) -> int:
    from sampan.streams.command_client import remote_command

    def write(data: bytes) -> None:
        if out is not None:
            out.write(data)

    def complain(data: bytes) -> None:
        if loud:
            session.context.stderr.write(data.decode(errors="replace"))

    query = urlencode([("container", container), *(("command", part) for part in command)])
    return await remote_command(
        session.transport, f"{pods.path(pod, 'exec')}?{query}", stdin=stdin, stdout=write, stderr=complain
    )
