from __future__ import annotations

from typing import Any

import pytest

from sampan.api.types import core_v1
from sampan.host.containers import Stats
from sampan.node import eviction
from sampan.node.eviction import Consumer
from sampan.node.host_facts import Usage
from sampan.node.warden import Warden
from tests.node_machine.lab import Lab
from tests.node_machine.make import pod
from tests.node_machine.test_admission import asks

FINE = Usage(1 << 30, 50.0, 50.0, 50.0)
NO_MEMORY = Usage(50 << 20, 50.0, 50.0, 50.0)
NO_DISK = Usage(1 << 30, 5.0, 50.0, 50.0)


def named(name: str, *containers: Any, **spec: Any) -> core_v1.Pod:
    return pod(*containers, meta={"name": name, "uid": name}, **spec)


@pytest.mark.parametrize(
    ("usage", "resource"),
    [
        (FINE, ""),
        (NO_MEMORY, "memory"),
        (NO_DISK, "ephemeral-storage"),
        (Usage(1 << 30, 50.0, 1.0, 50.0), "inodes"),
    ],
)
def test_what_is_short(usage: Usage, resource: str) -> None:
    assert eviction.starved(usage) == resource


def test_who_goes_first() -> None:
    within = Consumer(named("within", asks(memory="1Gi")), memory=500 << 20)
    above = Consumer(named("above", asks(memory="10Mi")), memory=20 << 20)
    far = Consumer(named("far"), memory=200 << 20)
    important = Consumer(named("important", priority=1000), memory=900 << 20)
    critical = Consumer(named("critical", priority=2_000_000_001), memory=900 << 20)
    order = []
    left = [within, above, far, important, critical]
    while (found := eviction.victim(left, "memory")) is not None:
        order.append(found.pod.metadata.name)
        left.remove(found)
    assert order == ["far", "above", "important", "within"]


def test_what_an_evicted_pod_is_told() -> None:
    end = eviction.low(Consumer(named("one"), memory=200 << 20), "memory", NO_MEMORY)
    assert (end.reason, end.message) == (
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. "
        "Container app was using 204800Ki, request is 0, has larger consumption of memory. ",
    )
    disk = eviction.low(Consumer(named("one")), "ephemeral-storage", NO_DISK)
    assert disk.message == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10%, available: 5.0%. "
    )


def warden(lab: Lab, *usages: Usage) -> Warden:
    """One that sees these states of the machine, the last for ever."""
    states = list(usages)
    return Warden(
        lab.agent._node,
        lambda: tuple(lab.agent._workers.values()),
        lab.agent.evict,
        lambda path: states.pop(0) if len(states) > 1 else states[0],
    )


async def test_one_pod_at_a_time_goes_when_memory_is_short(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.add(named("one"))
    await lab.add(named("two", asks(memory="1Gi")))

    async def stats(id: str) -> Stats:
        return Stats(0.0, 0, 0, 200 << 20, 0)

    monkeypatch.setattr(lab.runtime, "sandbox_stats", stats)
    await warden(lab, NO_MEMORY).look()
    await lab.settle()
    assert lab.pod("one").status.reason == "Evicted"
    assert lab.pod("one").status.phase == "Failed"
    assert lab.pod("two").status.phase == "Running"
    assert any(each.startswith("Evicted: The node was low on resource: memory") for each in lab.server.events())


async def test_images_go_before_pods_when_the_disk_is_full(lab: Lab) -> None:
    lab.images.registry["old:1"] = None
    await lab.images.pull("old:1")
    await lab.add(named("one"))
    await warden(lab, NO_DISK, FINE).look()
    await lab.settle()
    assert lab.images.removed == ["old:1"]
    assert lab.pod("one").status.phase == "Running"
    await warden(lab, NO_DISK).look()
    await lab.settle()
    assert lab.pod("one").status.reason == "Evicted"
