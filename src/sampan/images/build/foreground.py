"""A program on its own: start a container detached, wait for its first process, and end with its exit code.

    python -I -S foreground.py PIDFILE OCI-RUNTIME [ARGUMENT...]

In the foreground runc copies a container's two outputs through two pipes of its own, and their order is lost: what a
command said last, why it failed, may come before all the rest. Detached it hands on our descriptors as they are. The
container's process then becomes ours to wait for, because this process adopts what its children leave behind. SIGTERM
ends all of them, however far the start has come.
"""

import ctypes
import os
import signal
import sys

_ADOPT = 36  # PR_SET_CHILD_SUBREAPER
_ASKED = (signal.SIGTERM, signal.SIGINT)


def main(pidfile: str, *command: str) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_ADOPT, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl PR_SET_CHILD_SUBREAPER: {os.strerror(code)}")
    for number in _ASKED:
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        code = _end_of(os.posix_spawn(command[0], command, os.environ, setsigdef=_ASKED))
        if code != 0:
            return code
        with open(pidfile, encoding="ascii") as file:
            return _end_of(int(file.read()))
    finally:
        for number in _ASKED:
            signal.signal(number, signal.SIG_IGN)
        _end_all()


def _end_of(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _end_all() -> None:
    """The children, and theirs, which are ours when those have ended."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                continue
        except ChildProcessError:
            return
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children() -> list[int]:
    found, ours = [], str(os.getpid())
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(name)}/stat", encoding="utf-8", errors="replace") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except (ValueError, OSError):  # no process, or one that ended while we looked
            continue
        if parent == ours:
            found.append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
