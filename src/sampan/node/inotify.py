"""What happens in a directory, as it happens: inotify(7) through libc, read by the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os

from sampan.host import syscalls

IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_DELETE_SELF = 0x2, 0x80, 0x100, 0x400
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_BUFFER = 64 * 1024


class Watch:
    """Wakes when a file of `directory` is written, made or moved there. Raises OSError when it cannot be watched."""

    def __init__(self, directory: str) -> None:
        self._changed = asyncio.Event()
        libc = syscalls.libc()
        self._descriptor = int(libc.inotify_init1(ctypes.c_int(_NONBLOCK | _CLOEXEC)))
        if self._descriptor < 0:
            syscalls.check(-1, "inotify_init1")
        mask = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF
        try:
            if libc.inotify_add_watch(self._descriptor, os.fsencode(directory), ctypes.c_uint32(mask)) < 0:
                syscalls.check(-1, f"watch {directory}")
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _readable(self) -> None:
        """Which file it was does not matter: who waits looks again."""
        try:
            while os.read(self._descriptor, _BUFFER):
                continue
        except BlockingIOError:
            self._changed.set()

    async def wait(self) -> None:
        """Return when something has happened since the last `clear`."""
        await self._changed.wait()

    def clear(self) -> None:
        self._changed.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
