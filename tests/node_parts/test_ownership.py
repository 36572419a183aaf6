from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sampan.node.volumes import ownership
from tests.node_parts.pods import pod


@pytest.mark.parametrize(
    ("whole", "containers", "user"),
    [
        ("{runAsUser: 5}", ["{}", "{}"], 5),
        ("{}", ["{runAsUser: 5}", "{runAsUser: 5}"], 5),
        ("{runAsUser: 5}", ["{}", "{runAsUser: 6}"], -1),
        ("{}", ["{runAsUser: 5}", "{}"], -1),
        ("{}", ["{}"], -1),
        ("{runAsUser: 0}", ["{}"], 0),
    ],
)
def test_the_user_that_all_containers_share(whole: str, containers: list[str], user: int) -> None:
    lines = "\n".join(f"- {{name: c{at}, image: i, securityContext: {own}}}" for at, own in enumerate(containers))
    assert ownership.common_user(pod(f"securityContext: {whole}\ncontainers:\n{lines}")) == user


def test_the_volumes_group() -> None:
    assert ownership.group(pod("containers: []")) == -1
    assert ownership.group(pod("securityContext: {fsGroup: 0}\ncontainers: []")) == 0


@pytest.mark.kernel
def test_a_volume_is_handed_to_its_group(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    volume = tmp_path / "volume"
    (volume / "d").mkdir(parents=True)
    (volume / "d/f").write_text("")
    os.chmod(volume / "d/f", 0o600)
    (volume / "link").symlink_to(outside)
    ownership.give(str(volume), 4321)
    for path, mode in ((volume, 0o2775), (volume / "d", 0o2775), (volume / "d/f", 0o660)):
        status = path.stat()
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4321, mode)
    assert (volume / "link").lstat().st_gid == 4321
    assert outside.stat().st_gid != 4321
    (volume / "later").write_text("")
    assert (volume / "later").stat().st_gid == 4321


@pytest.mark.kernel
def test_a_root_that_fits_may_be_taken_as_proof(tmp_path: Path) -> None:
    ownership.give(str(tmp_path), 4321)
    (tmp_path / "f").write_text("")
    os.chown(tmp_path / "f", 0, 0)
    ownership.give(str(tmp_path), 4321, only_when_root_differs=True)
    assert (tmp_path / "f").stat().st_gid == 0
    ownership.give(str(tmp_path), 4322, only_when_root_differs=True)
    assert (tmp_path / "f").stat().st_gid == 4322
