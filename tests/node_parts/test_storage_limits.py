from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from sampan.api.types import core_v1
from sampan.node.contracts import Places
from sampan.node.storage_limits import EVERY, StorageLimits, limits, used
from sampan.runtime import tasks
from sampan.runtime.clock import VirtualClock, settle
from tests.node_parts.pods import UID, pod

SPEC = """
containers: [{name: c, image: i}]
volumes:
- {name: free, emptyDir: {}}
- {name: small, emptyDir: {sizeLimit: 64Ki}}
- {name: memory, emptyDir: {sizeLimit: 64Ki, medium: Memory}}
"""


class House:
    def __init__(self, *pods: core_v1.Pod) -> None:
        self._pods = pods
        self.evicted: list[tuple[str, str]] = []

    def pods(self) -> Collection[core_v1.Pod]:
        return self._pods

    def evict(self, pod: core_v1.Pod, reason: str, message: str) -> None:
        self.evicted.append((reason, message))


def test_only_volumes_on_disk_with_a_limit_are_measured() -> None:
    assert list(limits(pod(SPEC))) == [("small", "64Ki")]


async def test_a_volume_within_its_limit_is_left_alone(tmp_path: Path) -> None:
    places, house = Places(tmp_path), House(pod(SPEC))
    volumes = places.volumes(UID)
    (volumes / "small").mkdir(parents=True)
    (volumes / "free").mkdir()
    (volumes / "free/large").write_bytes(bytes(1 << 20))
    (volumes / "small/f").write_bytes(bytes(4096))
    assert await StorageLimits(house, places).look() == 0
    (volumes / "small/g").write_bytes(bytes(128 << 10))
    assert await StorageLimits(house, places).look() == 1
    assert house.evicted == [("Evicted", 'Usage of EmptyDir volume "small" exceeds the limit "64Ki". ')]


async def test_pods_that_are_over_are_not_measured(tmp_path: Path) -> None:
    places, house = Places(tmp_path), House(pod(SPEC, status="phase: Failed"))
    (places.volumes(UID) / "small").mkdir(parents=True)
    (places.volumes(UID) / "small/g").write_bytes(bytes(128 << 10))
    assert await StorageLimits(house, places).look() == 0


async def test_a_volume_that_is_not_there_yet(tmp_path: Path) -> None:
    assert await StorageLimits(House(pod(SPEC)), Places(tmp_path)).look() == 0


def test_measuring(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(bytes(40960))
    os.link(tmp_path / "d/f", tmp_path / "same")
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "sparse").write_bytes(b"")
    os.truncate(tmp_path / "sparse", 1 << 30)
    assert 40960 <= used(str(tmp_path)) < 80000


async def test_looking_again(tmp_path: Path) -> None:
    clock, looks = VirtualClock(), []

    class Counted(StorageLimits):
        async def look(self) -> int:
            looks.append(clock.monotonic())
            return await super().look()

    async with tasks.Group("test") as group:
        running = group.start("limits", Counted(House(), Places(tmp_path), clock).run())
        await settle()
        await clock.advance(2 * EVERY)
        await settle()
        running.cancel()
    assert len(looks) == 3
