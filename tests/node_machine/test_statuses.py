from __future__ import annotations

import json

import msgspec

from sampan.api.patch import strategic
from sampan.api.types import core_v1
from sampan.node.status import status
from sampan.node.statuses import changes
from tests.node_machine.make import NOW, pod, run, seen


def patched(old: core_v1.PodStatus, new: core_v1.PodStatus) -> core_v1.PodStatus:
    document = json.loads(msgspec.json.encode({"status": old}))
    body = json.loads(json.dumps({"status": changes(old, new)}))
    return msgspec.convert(strategic.apply(document, body, "core_v1.Pod")["status"], core_v1.PodStatus)


def test_a_patch_makes_the_one_of_the_other() -> None:
    pending, running = status(pod(), seen(), NOW), status(pod(), seen(run("app")), NOW)
    failed = status(pod(restartPolicy="Never"), seen(run("app", "exited", code=1)), NOW)
    none = core_v1.PodStatus()
    for old in (none, pending, running, failed):
        for new in (pending, running, failed):
            assert patched(old, new) == new


def test_nothing_new_is_nothing() -> None:
    running = status(pod(), seen(run("app")), NOW)
    assert changes(running, running) == {}


def test_conditions_of_others_are_not_in_it() -> None:
    mine = core_v1.PodCondition(type="example.com/mine", status="True")
    old = msgspec.structs.replace(status(pod(), seen(), NOW), conditions=(mine,))
    known = pod(status=msgspec.to_builtins(old))
    new = status(known, seen(run("app")), NOW)
    assert [each["type"] for each in changes(old, new)["conditions"]] == [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    assert patched(old, new).conditions[0] == mine


def test_addresses_replace_those_before() -> None:
    old = core_v1.PodStatus(podIPs=(core_v1.PodIP(ip="10.0.0.1"),), message="x")
    new = core_v1.PodStatus(podIPs=(core_v1.PodIP(ip="10.0.0.2"),))
    assert patched(old, new) == new
