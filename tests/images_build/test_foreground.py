"""What waits for a RUN's container: its exit code, and that nothing of it is left when it is asked to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.images.build import foreground


def start(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    """In `script` $1 is the file for the pid, $2 a pipe."""
    program, pidfile, gate = tmp_path / "runtime", tmp_path / "pid", tmp_path / "gate"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    os.mkfifo(gate)
    command = [sys.executable, "-I", "-S", foreground.__file__, str(pidfile), str(program), str(pidfile), str(gate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("ends", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0)])
def test_the_code_is_that_of_the_process_left_behind(tmp_path: Path, ends: str, code: int) -> None:
    left_behind = f"sh -c 'read line <$0; {ends}' $2 >/dev/null & echo $! >$1"
    with start(tmp_path, left_behind) as process:
        (tmp_path / "gate").write_text("go\n")
        assert process.wait() == code


def test_a_runtime_that_fails_is_the_end(tmp_path: Path) -> None:
    with start(tmp_path, "exit 3") as process:
        assert process.wait() == 3


@pytest.mark.parametrize("last", ["wait", "exit 0"], ids=["while it starts", "while it runs"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_leaves_nothing(tmp_path: Path, last: str, number: signal.Signals) -> None:
    with start(tmp_path, f"setsid sleep 1000 & echo $! >$1; echo $! $$; {last}") as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(number)
        assert process.wait() == 128 + number
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
