"""fsGroup: the group that a pod's volumes belong to, and the user that all of its containers run as."""

from __future__ import annotations

import os
import stat

from sampan.api.types import core_v1
from sampan.node.contracts import AnyContainer

READ_WRITE, READ_ONLY, ENTER = 0o660, 0o440, 0o110


def group(pod: core_v1.Pod) -> int:
    """-1 without fsGroup."""
    context = pod.spec.securityContext
    return context.fsGroup if context is not None and context.fsGroup is not None else -1


def common_user(pod: core_v1.Pod) -> int:
    """The user ID that every container asks for; -1 when they differ or any leaves it to its image."""
    whole = pod.spec.securityContext.runAsUser if pod.spec.securityContext is not None else None
    users = set()
    everyone: tuple[AnyContainer, ...] = (*pod.spec.initContainers, *pod.spec.containers, *pod.spec.ephemeralContainers)
    for container in everyone:
        own = container.securityContext.runAsUser if container.securityContext is not None else None
        users.add(whole if own is None else own)
    user = users.pop() if len(users) == 1 else None
    return -1 if user is None else user


def give(directory: str, gid: int, *, only_when_root_differs: bool = False) -> None:
    """Hand a directory and all in it to a group that may read and write; new files inherit the group.

    `only_when_root_differs` is fsGroupChangePolicy OnRootMismatch. Links are changed themselves, never followed.
    """
    if only_when_root_differs and _matches(directory, gid):
        return
    for current, directories, files in os.walk(directory):
        for name in files:
            _give_one(f"{current}/{name}", gid)
        for name in directories:
            if os.path.islink(f"{current}/{name}"):
                _give_one(f"{current}/{name}", gid)
        if current != directory:
            _give_one(current, gid)
    # The root last: it says that everything below is done.
    _give_one(directory, gid)


def _matches(directory: str, gid: int) -> bool:
    status = os.stat(directory)
    wanted = READ_WRITE | ENTER | stat.S_ISGID
    return status.st_gid == gid and stat.S_IMODE(status.st_mode) & wanted == wanted


def _give_one(path: str, gid: int) -> None:
    os.chown(path, -1, gid, follow_symlinks=False)
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return
    extra = READ_WRITE | (ENTER | stat.S_ISGID if stat.S_ISDIR(status.st_mode) else 0)
    os.chmod(path, stat.S_IMODE(status.st_mode) | extra)
