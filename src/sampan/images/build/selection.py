"""Which files a COPY means: patterns matched in a tree, directories listed without what is ignored.

Everything is sorted by name, so that the same tree gives the same list on every machine.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sampan.images.build import ignore as rules
from sampan.images.build import packing
from sampan.images.build.errors import BuildError
from sampan.images.build.ignore import NOTHING, Ignore
from sampan.images.build.rootfs import Rootfs

_WILD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class Source:
    """What one pattern led to: `path` with links followed, `name` as written; both relative to the tree."""

    path: str
    name: str
    directory: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One file, link or directory of a source; `name` is relative to the source, "" for itself."""

    name: str
    path: str
    status: os.stat_result
    link: str = ""

    @property
    def directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def select(tree: Rootfs, pattern: str, ignore: Ignore = NOTHING, where: str = "the build context") -> list[Source]:
    """Raises BuildError when there is nothing of that name, or when it is ignored."""
    cleaned = posixpath.normpath("/" + pattern).lstrip("/")
    names = list(_glob(tree, cleaned, ignore)) if _WILD.search(cleaned) else [cleaned]
    found = [_source(tree, name) for name in names]
    sources = [source for source in found if source is not None and not (source.path and ignored(ignore, source))]
    if sources:
        return sources
    if any(found):
        raise BuildError(f"{pattern} is left out by .dockerignore", "add a line with ! and the name, or copy another")
    raise BuildError(f"{pattern} is not in {where}", _near(tree, cleaned))


def ignored(ignore: Ignore, source: Source) -> bool:
    return ignore(source.path) and (not source.directory or ignore.prunes(source.path))


def _source(tree: Rootfs, name: str) -> Source | None:
    status = tree.status(name)
    if status is None:
        return None
    return Source(tree.resolve(name), name, stat.S_ISDIR(status.st_mode))


def _near(tree: Rootfs, name: str) -> str:
    """What is there, for who mistyped."""
    directory = posixpath.dirname(name)
    while directory and not tree.is_directory(directory):
        directory = posixpath.dirname(directory)
    names = sorted(_names(tree, directory))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"/{directory} has {shown or 'nothing'}"


def _names(tree: Rootfs, directory: str) -> list[str]:
    try:
        descriptor = tree.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(os.listdir(descriptor), key=os.fsencode)
    finally:
        os.close(descriptor)


def _glob(tree: Rootfs, pattern: str, ignore: Ignore) -> Iterator[str]:
    """Names that fit, component by component; `**` fits any number of directories."""
    if "**" in pattern:
        expression = re.compile(rules.expression(pattern) + r"\Z", re.DOTALL)
        for item in items(tree, Source("", "", True), ignore):
            if item.name and expression.match(item.name):
                yield item.name
        return
    found = [""]
    for part in pattern.split("/"):
        if not _WILD.search(part):
            found = [posixpath.join(parent, part) for parent in found]
            continue
        expression = re.compile(rules.expression(part) + r"\Z", re.DOTALL)
        found = [posixpath.join(parent, n) for parent in found for n in _names(tree, parent) if expression.match(n)]
    yield from (name for name in found if not ignore(name))


def items(tree: Rootfs, source: Source, ignore: Ignore = NOTHING, exclude: Sequence[rules.Rule] = ()) -> Iterator[Item]:
    """A source and, if it is a directory, all below it. Links within are not followed. Sockets are left out."""
    top = os.stat(_path(tree, source.path), follow_symlinks=False)
    excluded = Ignore(exclude)
    if not source.directory:
        if not excluded(posixpath.basename(source.name)):
            yield Item("", source.path, top)
        return
    yield Item("", source.path, top)
    yield from _below(tree, source.path, "", lambda path, name: ignore(path), ignore.prunes, excluded)


def _path(tree: Rootfs, path: str) -> str:
    return f"{tree.path}/{path}" if path else tree.path


def _below(
    tree: Rootfs,
    path: str,
    name: str,
    ignored: Callable[[str, str], bool],
    prunes: Callable[[str], bool],
    excluded: Ignore,
) -> Iterator[Item]:
    with os.scandir(_path(tree, path)) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        below = f"{path}/{entry.name}" if path else entry.name
        inside = f"{name}/{entry.name}" if name else entry.name
        directory = entry.is_dir(follow_symlinks=False)
        left_out = ignored(below, inside) or excluded(inside)
        if left_out and not (directory and not prunes(below)):
            continue
        status = entry.stat(follow_symlinks=False)
        children = _below(tree, below, inside, ignored, prunes, excluded) if directory else iter(())
        if left_out:
            yield from _with_parent(Item(inside, below, status), children)
            continue
        if stat.S_ISSOCK(status.st_mode):
            continue
        if entry.name.startswith(packing.WHITEOUT):
            raise BuildError(f"{below} cannot be copied", "names that begin with .wh. mean deletion in an image")
        yield Item(inside, below, status, os.readlink(entry.path) if entry.is_symlink() else "")
        yield from children


def _with_parent(parent: Item, children: Iterator[Item]) -> Iterator[Item]:
    """An ignored directory comes along when something in it does not stay behind."""
    for number, child in enumerate(children):
        if number == 0:
            yield parent
        yield child


def hidden(tree: Rootfs, ignore: Ignore, path: str = "") -> Iterator[str]:
    """The topmost paths below a directory that are left out with all below them."""
    if not ignore.rules:
        return
    with os.scandir(_path(tree, path)) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        below = f"{path}/{entry.name}" if path else entry.name
        directory = entry.is_dir(follow_symlinks=False)
        if ignore(below) and (not directory or ignore.prunes(below)):
            yield below
        elif directory:
            yield from hidden(tree, ignore, below)
