from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.api.errors import service_unavailable
from sampan.api.types import core_v1
from sampan.node import host_facts, node_object
from sampan.node.contracts import Capacity
from sampan.node.host_facts import Usage
from sampan.node.node_object import Pressure
from tests.node_machine.lab import Lab
from tests.node_machine.make import NOW
from tests.node_machine.runtime import image

CALM = Usage(1 << 30, 50.0, 50.0, 50.0)


def node(lab: Lab) -> Any:
    return lab.server.all("nodes")[0]


def lease(lab: Lab) -> Any:
    return lab.server.all("leases")[0]


def ready(document: Any) -> str:
    return next(each["status"] for each in document["status"]["conditions"] if each["type"] == "Ready")


async def test_the_node_is_ready_with_its_first_request(lab: Lab) -> None:
    found = node(lab)
    assert lab.server.writes[0] == "POST /api/v1/nodes"
    assert ready(found) == "True"
    labels = found["metadata"]["labels"]
    assert labels["kubernetes.io/hostname"] == "n1"
    assert labels["kubernetes.io/os"] == labels["beta.kubernetes.io/os"] == "linux"
    status = found["status"]
    assert status["capacity"]["cpu"] == "4"
    assert status["capacity"]["memory"] == f"{8 << 20}Ki"
    assert status["allocatable"]["pods"] == "110"
    assert {"type": "InternalIP", "address": "192.0.2.7"} in status["addresses"]
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert status["nodeInfo"]["kubeletVersion"] == "v1.37.0"
    assert [each["type"] for each in status["conditions"]] == [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
    ]
    assert status["images"] == [{"names": ["app:1@sha256:bb", "app:1"], "sizeBytes": 1000}]


async def test_the_lease_is_renewed_every_ten_seconds(lab: Lab) -> None:
    first = lease(lab)
    assert first["spec"]["holderIdentity"] == "n1"
    assert first["spec"]["leaseDurationSeconds"] == 40
    assert first["metadata"]["ownerReferences"][0]["uid"] == node(lab)["metadata"]["uid"]
    await lab.advance(10)
    assert lease(lab)["spec"]["renewTime"] > first["spec"]["renewTime"]


async def test_the_status_is_told_when_it_changed_and_as_a_sign_of_life(lab: Lab) -> None:
    def told() -> int:
        return sum(each == "PATCH /api/v1/nodes/n1/status" for each in lab.server.writes)

    await lab.advance(60)
    assert told() == 0
    lab.images.registry["more:1"] = None
    await lab.images.pull("more:1")
    await lab.advance(10)
    assert told() == 1
    assert len(node(lab)["status"]["images"]) == 2
    await lab.advance(310)
    assert told() == 2


async def test_what_others_write_into_the_status_stays(lab: Lab) -> None:
    found = node(lab)
    found["status"]["capacity"]["example.com/dongle"] = "3"
    found["status"]["allocatable"]["example.com/dongle"] = "3"
    lab.server.put("nodes", found)
    await lab.advance(320)
    assert node(lab)["status"]["capacity"]["example.com/dongle"] == "3"
    assert node(lab)["status"]["allocatable"]["example.com/dongle"] == "3"


async def test_a_node_that_was_given_up_says_within_seconds_that_it_is_there(lab: Lab) -> None:
    found = node(lab)
    for condition in found["status"]["conditions"]:
        condition |= {"status": "Unknown", "reason": "NodeStatusUnknown"}
    lab.server.put("nodes", found)
    await lab.advance(11)
    ready = [each["status"] for each in node(lab)["status"]["conditions"] if each["type"] == "Ready"]
    assert ready == ["True"]


async def test_a_node_that_is_known_already_is_brought_up_to_date(tmp_path: Path) -> None:
    lab = Lab(tmp_path, labels={"zone": "a"})
    lab.server.put("nodes", {"metadata": {"name": "n1", "uid": "x", "labels": {"mine": "1", "zone": "b"}}})
    async with lab.running():
        assert node(lab)["metadata"]["labels"]["zone"] == "a"
        assert node(lab)["metadata"]["labels"]["mine"] == "1"
        assert ready(node(lab)) == "True"


async def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.server.broken = service_unavailable("starting")
    async with lab.running():
        assert lab.server.all("nodes") == []
        lab.server.broken = None
        await lab.advance(5)
        assert ready(node(lab)) == "True"
        await lab.advance(10)
        assert lease(lab)["spec"]["holderIdentity"] == "n1"


async def test_a_deleted_node_registers_again(lab: Lab) -> None:
    lab.server.remove("nodes", "", "n1")
    await lab.advance(320)
    assert ready(node(lab)) == "True"


@pytest.mark.parametrize(
    ("usage", "kind"),
    [
        (Usage(99 << 20, 50.0, 50.0, 50.0), "MemoryPressure"),
        (Usage(1 << 30, 9.9, 50.0, 50.0), "DiskPressure"),
        (Usage(1 << 30, 50.0, 4.9, 50.0), "DiskPressure"),
        (Usage(1 << 30, 50.0, 50.0, 4.9), "PIDPressure"),
    ],
)
def test_pressure_lasts_until_it_has_been_calm_for_a_while(usage: Usage, kind: str) -> None:
    pressed = node_object.pressure(Pressure({}), usage, NOW)
    assert pressed.holds(kind, NOW)
    later = node_object.pressure(pressed, CALM, NOW + 100)
    assert later.holds(kind, NOW + 100)
    assert not later.holds(kind, NOW + 301)
    assert not node_object.pressure(Pressure({}), CALM, NOW).holds(kind, NOW)


def test_problems_make_the_node_not_ready(tmp_path: Path) -> None:
    config = Lab(tmp_path).config
    info = core_v1.NodeSystemInfo()
    found = node_object.status(config, core_v1.NodeStatus(), info, (), Pressure({}), ("no network",), NOW)
    condition = next(each for each in found.conditions if each.type == "Ready")
    assert (condition.status, condition.reason, condition.message) == ("False", "KubeletNotReady", "no network")


def test_the_largest_images_are_listed_first() -> None:
    names = [each.names[-1] for each in node_object.image_list([image("a"), image("b")])]
    assert names == ["a", "b"]
    assert len(node_object.image_list([image(str(number)) for number in range(70)])) == 50


def test_amounts_of_a_machine() -> None:
    whole = Capacity(1500, 4 << 30, 10 << 30, 110, {"hugepages-2Mi": 4 << 20})
    assert node_object.amounts(whole) == {
        "cpu": "1500m",
        "memory": f"{4 << 20}Ki",
        "ephemeral-storage": f"{10 << 20}Ki",
        "pods": "110",
        "hugepages-2Mi": "4Mi",
    }
    assert host_facts.reserved(whole).memory == (100 << 20) + (4 << 20)


def test_facts_of_this_machine(tmp_path: Path) -> None:
    whole = host_facts.capacity(str(tmp_path), 110)
    assert whole.cpu_milli >= 1000
    assert whole.memory > 1 << 20
    assert whole.ephemeral_storage > 0
    usage = host_facts.usage(str(tmp_path))
    assert usage.memory_available > 0
    assert 0 < usage.pids_available <= 100
    info = host_facts.node_info("v1.37.0", "sampan://0")
    assert info.kernelVersion
    assert info.bootID
