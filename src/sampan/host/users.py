"""Who a container runs as: names and numbers of the image's own /etc/passwd and /etc/group.

The files are opened with openat2(2) RESOLVE_IN_ROOT, so that a symbolic link in an image leads nowhere else, and
only regular files of a sane size are read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from sampan.host import syscalls
from sampan.host.containers import RuntimeFailure, SecurityConfig

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def read_inside(root: str, path: str) -> str:
    """The text of a regular file inside a root directory; "" when there is none."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = syscalls.open_inside(directory, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    finally:
        os.close(directory)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return ""
        return os.read(descriptor, _LARGEST).decode(errors="replace")
    finally:
        os.close(descriptor)


def resolve(root: str, image_user: str, security: SecurityConfig) -> Identity:
    """The identity by CRI rules: `user` over `username` over the image's `User` (name or ID, with an optional group).

    Raises RuntimeFailure CreateContainerError for a name that the image does not know.
    """
    if security.user is not None:
        user, group = str(security.user), ""
    else:
        user, _, group = (security.username or image_user).partition(":")
    if security.group is not None:
        group = str(security.group)
    passwd, groups = read_inside(root, "etc/passwd"), read_inside(root, "etc/group")
    name, uid, primary = _user(user or "0", passwd)
    gid = _group(group, groups) if group else primary
    member = _memberships(name, groups) if name and not security.supplemental_groups_strict else ()
    extra = dict.fromkeys((gid, *member, *security.supplemental_groups))
    return Identity(uid, gid, tuple(extra))


def _rows(text: str, fields: int) -> list[list[str]]:
    return [row for line in text.splitlines() if len(row := line.split(":")) >= fields]


def _user(user: str, passwd: str) -> tuple[str, int, int]:
    """(name or "", uid, primary gid); a bare number need not be in the file."""
    for row in _rows(passwd, 4):
        if (row[0] == user or row[2] == user) and row[2].isdigit() and row[3].isdigit():
            return row[0], int(row[2]), int(row[3])
    if not user.isdigit():
        raise RuntimeFailure("CreateContainerError", f"unable to find user {user}: no matching entries in passwd file")
    return "", _checked(int(user), "user"), 0


def _group(group: str, text: str) -> int:
    for row in _rows(text, 3):
        if (row[0] == group or row[2] == group) and row[2].isdigit():
            return int(row[2])
    if not group.isdigit():
        raise RuntimeFailure("CreateContainerError", f"unable to find group {group}: no matching entries in group file")
    return _checked(int(group), "group")


def _checked(number: int, what: str) -> int:
    if number >= 1 << 31:
        raise RuntimeFailure("CreateContainerError", f"{what} ID {number} is out of range")
    return number


def _memberships(name: str, text: str) -> tuple[int, ...]:
    return tuple(int(row[2]) for row in _rows(text, 4) if row[2].isdigit() and name in row[3].split(","))
