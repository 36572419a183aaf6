from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.host import loops, mounts

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(loops.available()), reason=f"no loop devices: {loops.available()}"),
]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "file"
    path.write_bytes(b"begin" + bytes((1 << 20) - 5))
    yield str(path)
    assert loops.device(str(path)) == "", "a device was left"


def size(device: str) -> int:
    with open(device, "rb") as opened:
        return opened.seek(0, os.SEEK_END)


def test_a_file_is_a_device_for_as_long_as_it_is_held(file: str) -> None:
    assert loops.device(file) == ""
    with loops.attached(file) as device:
        assert Path(device).read_bytes()[:5] == b"begin" and size(device) == 1 << 20
        with loops.attached(file) as again:
            assert again == device
        assert loops.device(file) == device


def test_two_files_have_two_devices(file: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(4096))
    with loops.attached(file) as one, loops.attached(str(tmp_path / "other")) as other:
        assert one != other


def test_a_file_that_grew_and_got_another_name(file: str) -> None:
    with loops.attached(file) as device:
        os.rename(file, file + ".new")
        os.truncate(file + ".new", 2 << 20)
        assert size(device) == 1 << 20
        loops.grow(file + ".new")
        assert size(device) == 2 << 20
        os.rename(file + ".new", file)


def test_a_new_file_of_the_same_name_is_another(file: str) -> None:
    with loops.attached(file) as device:
        os.unlink(file)
        Path(file).write_bytes(bytes(8192))
        with loops.attached(file) as other:
            assert other != device


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), loops.attached(str(tmp_path / "none")):
        pass


def test_a_mount_keeps_the_device(file: str, tmp_path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", file], check=True, env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    (tmp_path / "m").mkdir()
    with loops.attached(file) as device:
        mounts.mount(device, str(tmp_path / "m"), "ext4")
    try:
        assert loops.device(file) == device
    finally:
        mounts.unmount(str(tmp_path / "m"))
