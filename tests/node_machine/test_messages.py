from __future__ import annotations

import os
from pathlib import Path

from sampan.node import messages
from tests.covers import covers


def test_a_message_is_cut_to_the_pods_share(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(b"x" * 10_000)
    assert len(messages.read(path, 1)) == 4096
    assert len(messages.read(path, 6)) == 2048
    assert messages.read(tmp_path / "none", 1) == ""


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    assert messages.read(tmp_path / "link", 1) == ""
    assert messages.read(tmp_path / "pipe", 1) == ""
    assert messages.read(tmp_path, 1) == ""


@covers(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message from log"
    " output if TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] [NodeConformance]"
)
def test_the_end_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("2027-01-15T08:00:00Z stdout P half a\n2027-01-15T08:00:00Z stdout F  line\nbroken\n")
    assert messages.of_log(path) == "half a line\n"
    path.write_text("".join(f"2027-01-15T08:00:00Z stderr F {number:03}\n" for number in range(500)))
    lines = messages.of_log(path).splitlines()
    assert (len(lines), lines[-1]) == (80, "499")
    path.write_text(f"2027-01-15T08:00:00Z stderr F {'y' * 5000}\n")
    assert len(messages.of_log(path)) == 2048
