"""What `sampan down --purge` deletes, and what it must not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.cli import down
from sampan.cli.context import CommandError
from sampan.config import ClusterConfig
from sampan.host import mounts

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]


def test_files_of_the_machine_that_are_still_mounted_stay(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("of the machine")
    cluster = ClusterConfig(name="purged", data_root=tmp_path)
    inside = cluster.data_dir / "node" / "pods" / "uid" / "volume-subpaths" / "0"
    inside.mkdir(parents=True)
    mounts.bind(str(precious), str(inside))
    try:
        with pytest.raises(CommandError, match=f"umount {inside}"):
            down.forget_data(cluster)
        assert (precious / "file").read_text() == "of the machine"
    finally:
        mounts.unmount(str(inside))
    down.forget_data(cluster)
    assert not cluster.data_dir.exists()
    assert (precious / "file").exists()
