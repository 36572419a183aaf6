"""A program on its own: start a container detached, wait for its first process, and end with its exit code.

    python -I -S foreground.py PIDFILE OCI-RUNTIME [ARGUMENT...]

In the foreground runc copies a container's two outputs through two pipes of its own, and their order is lost: what a
command said last, why it failed, may come before all the rest. Detached it hands on our descriptors as they are. The
container's process then becomes ours to wait for, because this process adopts what its children leave behind.
"""

import ctypes
import os
import sys

_ADOPT = 36  # PR_SET_CHILD_SUBREAPER


def main(pidfile: str, *command: str) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_ADOPT, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl PR_SET_CHILD_SUBREAPER: {os.strerror(code)}")
    code = _end_of(os.posix_spawn(command[0], command, os.environ))
    if code != 0:
        return code
    with open(pidfile, encoding="ascii") as file:
        return _end_of(int(file.read()))


def _end_of(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
