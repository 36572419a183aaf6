"""--chown and --chmod: names and modes as numbers."""

from __future__ import annotations

import re

from sampan.images.build.errors import BuildError
from sampan.images.build.rootfs import Rootfs

_OCTAL = re.compile(r"[0-7]{3,4}\Z")
_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)\Z")
_LARGEST = (1 << 31) - 1


def owner(text: str, rootfs: Rootfs) -> tuple[int, int]:
    """`user[:group]` as numbers; a user without group brings its own. Raises BuildError for an unknown name."""
    user, colon, group = text.partition(":")
    uid, gid = _user(user or "0", rootfs)
    return uid, _group(group, rootfs) if colon and group else gid


def _rows(text: str, fields: int) -> list[list[str]]:
    return [row for line in text.splitlines() if len(row := line.split(":")) >= fields]


def _user(user: str, rootfs: Rootfs) -> tuple[int, int]:
    for row in _rows(rootfs.read("etc/passwd"), 4):
        if row[0] == user and row[2].isdigit() and row[3].isdigit():
            return int(row[2]), int(row[3])
    if not user.isdigit():
        raise BuildError(f"the image has no user {user!r}", "add it before (RUN useradd ...) or give a number")
    return _number(user), _number(user)


def _group(group: str, rootfs: Rootfs) -> int:
    for row in _rows(rootfs.read("etc/group"), 3):
        if row[0] == group and row[2].isdigit():
            return int(row[2])
    if not group.isdigit():
        raise BuildError(f"the image has no group {group!r}", "add it before (RUN groupadd ...) or give a number")
    return _number(group)


def _number(text: str) -> int:
    if int(text) > _LARGEST:
        raise BuildError(f"user or group ID {text} is out of range")
    return int(text)


def mode(text: str, before: int, *, directory: bool) -> int:
    """`before` changed by an octal mode, or by clauses such as `u=rwX,go-w`. Raises BuildError."""
    if _OCTAL.match(text):
        return int(text, 8)
    for clause in text.split(","):
        match = _CLAUSE.match(clause)
        if match is None:
            raise BuildError(f"--chmod={text} is no mode", "give an octal number such as 0755, or u=rwX,go=rX")
        before = _apply(before, match[1] or "a", match[2], match[3], directory)
    return before


_SHIFTS = {"u": 6, "g": 3, "o": 0}


def _apply(before: int, who: str, operator: str, letters: str, directory: bool) -> int:
    classes = "ugo" if "a" in who else who
    bits = 0
    for letter in letters:
        if letter in "rwx" or (letter == "X" and (directory or before & 0o111)):
            value = {"r": 4, "w": 2, "x": 1, "X": 1}[letter]
            bits |= sum(value << _SHIFTS[each] for each in classes)
        elif letter == "s":
            bits |= (0o4000 if "u" in classes else 0) | (0o2000 if "g" in classes else 0)
        elif letter == "t":
            bits |= 0o1000
    if operator == "+":
        return before | bits
    if operator == "-":
        return before & ~bits
    cleared = sum(7 << _SHIFTS[each] for each in set(classes))
    cleared |= (0o4000 if "u" in classes else 0) | (0o2000 if "g" in classes else 0)
    return (before & ~cleared) | bits
