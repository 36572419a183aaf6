"""Volumes that are file systems of their own: they end where they should, grow, and come back after a crash."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.host import loops, mounts
from sampan.node.volumes import disk
from sampan.node.volumes.types import VolumeFailure

MI = 1 << 20

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(disk.unavailable()), reason=f"volumes cannot be limited here: {disk.unavailable()}"),
]


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = str(root / "volume")

    def mount(self, size: int, name: str = "pod") -> Path:
        target = self.root / name
        disk.mount(self.directory, str(target), size)
        return target

    def leave(self, name: str = "pod") -> None:
        assert mounts.unmount(str(self.root / name))

    @property
    def image(self) -> Path:
        return Path(self.directory) / disk.IMAGE


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    mounts.share(str(tmp_path))  # as the node's place of volumes is
    made = Place(tmp_path)
    yield made
    mounts.unmount_below(str(tmp_path))
    for name in (disk.IMAGE, disk.NEW):
        path = Path(made.directory) / name
        assert not path.exists() or loops.device(str(path)) == ""


def fill(directory: Path) -> int:
    """Write until there is no room; returns the bytes that went in."""
    written = 0
    with (directory / "filling").open("ab", buffering=0) as file:
        while True:
            try:
                written += file.write(bytes(64 << 10))
                os.fsync(file.fileno())
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return written


@pytest.mark.parametrize("size", [1 * MI, 10 * MI, 100 * MI])
def test_a_volume_takes_what_it_was_made_for_and_no_more(place: Place, size: int) -> None:
    target = place.mount(size)
    assert os.listdir(target) == [] and stat.S_IMODE(target.stat().st_mode) == 0o777
    assert disk.holds(str(target), size)
    assert size * 0.9 < fill(target) <= size * 1.1
    with pytest.raises(OSError, match="No space left on device"):
        (target / "more").write_bytes(bytes(MI))


def test_room_is_only_taken_when_it_is_used_and_given_back(place: Place) -> None:
    target = place.mount(1024 * MI)
    assert place.image.stat().st_blocks * 512 < 8 * MI < place.image.stat().st_size
    (target / "f").write_bytes(os.urandom(64 * MI))
    os.sync()
    assert place.image.stat().st_blocks * 512 > 64 * MI
    (target / "f").unlink()
    place.leave()
    assert place.image.stat().st_blocks * 512 < 32 * MI


def test_two_pods_see_the_same_files(place: Place) -> None:
    one, two = place.mount(10 * MI, "one"), place.mount(10 * MI, "two")
    (one / "f").write_text("seen")
    assert (two / "f").read_text() == "seen"
    place.leave("one")
    assert (two / "f").read_text() == "seen"
    place.leave("two")
    assert loops.device(str(place.image)) == ""
    assert (place.mount(10 * MI, "three") / "f").read_text() == "seen"


def test_mounting_again_changes_nothing(place: Place) -> None:
    target = place.mount(10 * MI)
    (target / "f").write_text("kept")
    assert (place.mount(10 * MI) / "f").read_text() == "kept"
    assert mounts.below(str(target)) == [str(target)]


def test_growing_between_two_pods(place: Place) -> None:
    target = place.mount(10 * MI)
    written = fill(target)
    place.leave()
    target = place.mount(40 * MI)
    assert disk.holds(str(target), 40 * MI)
    assert (target / "filling").stat().st_size >= written and fill(target) > 25 * MI
    place.leave()
    assert disk.holds(str(place.mount(10 * MI)), 40 * MI), "never smaller"


def test_growing_under_a_pod(place: Place) -> None:
    """Where the kernel allows it at once; else when the next pod comes and nobody uses the volume."""
    target = place.mount(10 * MI)
    (target / "f").write_text("kept")
    if not disk.grow(place.directory, str(target), 40 * MI):
        assert not disk.holds(str(target), 40 * MI)
        place.leave()
        target = place.mount(40 * MI)
    assert disk.holds(str(target), 40 * MI) and (target / "f").read_text() == "kept"


def test_a_program_that_has_a_copy_of_all_mounts_holds_no_volume(place: Place) -> None:
    place.mount(10 * MI)
    holder = [shutil.which("unshare") or "", "--mount", "--propagation", "unchanged", "sh", "-c", "echo; read end"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"\n"
        place.leave()
        assert loops.device(str(place.image)) == ""
        process.stdin.close()


def test_one_whose_making_was_cut_off_is_made_again(place: Place) -> None:
    os.mkdir(place.directory)
    (Path(place.directory) / disk.NEW).write_bytes(b"half of it")
    (place.mount(10 * MI) / "f").write_text("x")
    assert sorted(os.listdir(place.directory)) == [disk.IMAGE]


def test_growing_that_was_cut_off_goes_on(place: Place) -> None:
    place.mount(10 * MI)
    place.leave()
    os.truncate(place.image, disk.size_of_image(20 * MI))
    assert disk.holds(str(place.mount(20 * MI)), 20 * MI)


def test_after_a_crash_what_was_synced_is_there(place: Place, tmp_path: Path) -> None:
    """A copy of the file as the disk has it, taken while the file system is mounted, is what a power cut leaves."""
    target = place.mount(10 * MI)
    with (target / "f").open("w") as file:
        file.write("synced")
        file.flush()
        os.fsync(file.fileno())
    (target / "unsynced").write_text("perhaps")
    after = Place(tmp_path / "after")
    os.makedirs(after.directory)
    after.image.write_bytes(place.image.read_bytes())
    assert (after.mount(10 * MI) / "f").read_text() == "synced"


def test_a_damaged_one_is_told(place: Place) -> None:
    os.mkdir(place.directory)
    place.image.write_bytes(bytes(MI))
    with pytest.raises(VolumeFailure, match=r"disk.ext4 has no ext4 file system"):
        place.mount(MI)


@pytest.mark.parametrize("state", [0, 2, 3])
def test_errors_that_the_kernel_noted_and_work_half_done_are_mended(place: Place, state: int) -> None:
    (place.mount(10 * MI) / "f").write_text("kept")
    place.leave()
    command = ["debugfs", "-w", "-R", f"set_super_value state {state}", str(place.image)]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": disk.SEARCH})
    assert disk._super(str(place.image)).damaged
    assert (place.mount(10 * MI) / "f").read_text() == "kept"


def test_without_loop_devices_it_is_a_directory_for_good(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(loops, "CONTROL", "/dev/none")
        assert disk.unavailable() == "/dev/none: no such file or directory"
        target = place.mount(1 * MI)
        (target / "large").write_bytes(bytes(3 * MI))
        place.mount(1 * MI)
        assert len(mounts.below(str(target))) == 1
        assert not disk.is_limited(place.directory)
        place.leave()
    assert (place.mount(1 * MI) / "large").stat().st_size == 3 * MI, "its data count more than its limit"


_KILLED = """
import os, sys
from sampan.node.volumes import disk
disk.os.rename = lambda *_: os._exit(9)
disk.mount(sys.argv[1], sys.argv[2], 10 << 20)
"""


def test_a_node_that_is_killed_before_the_volume_counts_as_made_loses_nothing_later(place: Place) -> None:
    """The file system is mounted by then, and the pod writes to it after the next start."""
    target = place.root / "pod"
    done = subprocess.run([sys.executable, "-c", _KILLED, place.directory, str(target)], check=False)
    assert done.returncode == 9
    assert mounts.is_mounted(str(target)) and not place.image.exists()
    assert place.mount(10 * MI) == target
    assert os.listdir(target) == [] and stat.S_IMODE(target.stat().st_mode) == 0o777
    (target / "kept").write_text("of the pod")
    place.leave()
    assert (place.mount(10 * MI) / "kept").read_text() == "of the pod"


def test_a_file_system_that_an_earlier_process_still_works_on_is_left_alone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """resize2fs goes on when the node is killed; a second one, or a mount, would destroy what it does."""
    place.mount(10 * MI)
    place.leave()
    programs = tmp_path / "bin"
    programs.mkdir()
    goes_on = programs / "e2fsck"
    goes_on.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nread line < {tmp_path}/end\nexit 0\n")
    goes_on.chmod(0o755)
    os.mkfifo(tmp_path / "end")
    code = f"from sampan.node.volumes import disk\ndisk.SEARCH = '{programs}:' + disk.SEARCH\n"
    code += f"disk.mount({place.directory!r}, {str(tmp_path / 'other')!r}, {20 * MI})\n"
    node = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not (tmp_path / "begun").exists():
            assert node.poll() is None
    finally:
        node.kill()
        node.wait()
    with pytest.raises(VolumeFailure, match="is still worked on"):
        place.mount(20 * MI)
    (tmp_path / "end").write_text("\n")
    while True:
        try:
            target = place.mount(20 * MI)
            break
        except VolumeFailure:
            continue
    assert disk.holds(str(target), 20 * MI)
