"""COPY and ADD: what is meant, gathered from a tree, with a description that says when it is the same again."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sampan.images.build import ignore as rules
from sampan.images.build import lines, metadata, placing, selection, substitute
from sampan.images.build.errors import BuildError
from sampan.images.build.ignore import Ignore, Rule
from sampan.images.build.instructions import Copy
from sampan.images.build.metadata import Variables
from sampan.images.build.packing import Attributes
from sampan.images.build.placing import Piece
from sampan.images.build.rootfs import Rootfs
from sampan.images.build.selection import Item, Source
from sampan.images.build.state import State

Digest = Callable[[str, Item], str]
"""The digest of a file of a tree: its path on this machine, and what it is."""

_REMOTE = re.compile(r"(?:[a-z][a-z0-9+.-]*://|git@[\w.-]+:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A COPY with its variables replaced. `target` is absolute and ends with a slash when it is a directory."""

    sources: tuple[str, ...]
    documents: tuple[tuple[str, bytes], ...]
    target: str
    chown: str = ""
    chmod: str = ""
    parents: bool = False
    exclude: tuple[Rule, ...] = ()
    unpack: bool = False
    checksum: str = ""

    @property
    def description(self) -> list[Any]:
        exclude = [rule.pattern for rule in self.exclude]
        return [self.target, self.chown, self.chmod, self.parents, exclude, self.unpack]


def wanted(step: Copy, state: State, variables: Variables) -> Wanted:
    """Raises ValueError."""
    documents = {each.name: each for each in step.heredocs}
    sources: list[str] = []
    inline: list[tuple[str, bytes]] = []
    for source in step.sources:
        name = substitute.unquote(source[2:].lstrip("-"), variables.escape) if source.startswith("<<") else ""
        if name in documents and name:
            inline.append((name, _document(documents[name], state, variables).encode()))
        else:
            sources.append(variables.word(source, state))
    if not all(sources):
        raise ValueError("an empty source: does its variable have a value?")
    target = variables.word(step.target, state)
    if not target:
        raise ValueError("an empty destination: does its variable have a value?")
    into = target.endswith(("/", "/.", "/..")) or target in (".", "..")
    absolute = metadata.absolute(target, state)
    return Wanted(
        tuple(sources),
        tuple(inline),
        absolute.rstrip("/") + "/" if into else absolute,
        variables.word(step.chown, state),
        variables.word(step.chmod, state),
        step.parents,
        tuple(rules.rule(variables.word(pattern, state)) for pattern in step.exclude),
        step.add if step.unpack is None else step.unpack,
        variables.word(step.checksum, state),
    )


def _document(document: lines.Heredoc, state: State, variables: Variables) -> str:
    """A here-document's text: variables replaced unless its delimiter was quoted; quotes in it mean nothing."""
    if not document.expand:
        return document.content
    guarded = re.sub(r"(['\"])", lambda match: variables.escape + match[1], document.content)
    guarded = re.sub(re.escape(variables.escape) + r"(?!['\"$])", lambda match: variables.escape * 2, guarded)
    return substitute.word(guarded, state.values, variables.escape)


def is_remote(source: str) -> bool:
    return _REMOTE.match(source) is not None


def gather(
    wish: Wanted, tree: Rootfs, digest: Digest, ignore: Ignore, where: str, *, context: bool
) -> tuple[list[Piece], list[Any]]:
    """The pieces to place, and their description: the same description is the same content. Raises BuildError."""
    pieces: list[Piece] = []
    for pattern in wish.sources:
        if is_remote(pattern):
            continue
        pivot = _pivot(pattern) if wish.parents else ""
        for source in selection.select(tree, pattern, ignore, where):
            pieces.append(_piece(wish, tree, source, pivot, ignore, context=context))
    pieces += [Piece(name, data=data) for name, data in wish.documents]
    return pieces, describe(pieces, digest)


def check(wish: Wanted, pieces: Sequence[Piece]) -> None:
    """Raises BuildError when several things would get one name."""
    if len(pieces) > 1 and not wish.target.endswith("/"):
        raise BuildError(
            f"{len(pieces)} sources cannot become the one file {wish.target}", "end the destination with a slash"
        )


def _pivot(pattern: str) -> str:
    head, dot, _ = pattern.rpartition("/./")
    return posixpath.normpath("/" + head).lstrip("/") if dot else ""


def _piece(wish: Wanted, tree: Rootfs, source: Source, pivot: str, ignore: Ignore, *, context: bool) -> Piece:
    found = tuple(selection.items(tree, source, ignore, wish.exclude))
    prefix = ""
    if wish.parents:
        prefix = source.name[len(pivot) :].lstrip("/") if source.name.startswith(pivot) else source.name
    archive = wish.unpack and not source.directory and placing.is_archive(f"{tree.path}/{source.path}")
    # the context's own directory may be private to who made it
    default = Attributes() if context and source.directory and not source.path else None
    name = posixpath.basename(source.name)
    return Piece(name, tree.path, source.directory, found, archive=archive, prefix=prefix, default=default)


def describe(pieces: Sequence[Piece], digest: Digest) -> list[Any]:
    found: list[Any] = []
    for piece in pieces:
        if piece.data is not None:
            found.append([piece.name, piece.data.decode("utf-8", "surrogateescape")])
            continue
        items = [_described(piece, item, digest) for item in piece.items]
        name = "" if piece.directory else piece.name
        found.append([name, piece.directory, piece.archive, piece.prefix, items])
    return found


def _described(piece: Piece, item: Item, digest: Digest) -> list[Any]:
    mode = item.status.st_mode
    if piece.default is not None and not item.name:
        mode = stat.S_IFDIR | piece.default.mode
    if stat.S_ISREG(mode):
        return [item.name, mode, digest(f"{piece.root}/{item.path}", item)]
    if stat.S_ISLNK(mode):
        return [item.name, stat.S_IFLNK, item.link]
    return [item.name, mode, item.status.st_rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0]


def placed(wish: Wanted, pieces: Sequence[Piece], *, keep_xattrs: bool) -> placing.Wish:
    return placing.Wish(wish.target, wish.chown, wish.chmod, pieces, keep_xattrs)


def downloaded(path: str, name: str, *, unpack: bool) -> Piece:
    """A downloaded file; it is readable by its owner alone."""
    directory, _, base = path.rpartition("/")
    item = Item("", base, os.stat(path))
    archive = unpack and placing.is_archive(path)
    return Piece(name, directory, items=(item,), default=Attributes(0o600), archive=archive)
