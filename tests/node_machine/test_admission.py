from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.api.types import core_v1
from sampan.node import admission
from sampan.node.contracts import Capacity, ClusterFacts, Places
from sampan.node.node_config import NodeConfig
from tests.node_machine.make import pod

CONFIG = NodeConfig(
    name="n1",
    ips=("192.0.2.7",),
    places=Places(Path("/nowhere")),
    cluster=ClusterFacts("cluster.local", ()),
    capacity=Capacity(4000, 8 << 30, 100 << 30, hugepages={"hugepages-2Mi": 4 << 20}),
    reserved=Capacity(1000, 1 << 30, 0),
    max_pods=2,
    sysctls=("kernel.msg*",),
)
LABELS = {"disk": "fast", "cores": "8"}


def asks(**requests: str) -> dict[str, Any]:
    return {"name": "app", "resources": {"requests": {k.replace("_", "-"): v for k, v in requests.items()}}}


def reason(spec: core_v1.Pod, *others: core_v1.Pod) -> str:
    found = admission.refuse(spec, others, LABELS, CONFIG)
    return found.reason if found is not None else ""


@pytest.mark.parametrize(
    ("wish", "others", "expected"),
    [
        (asks(cpu="3"), (), ""),
        (asks(cpu="3001m"), (), "OutOfcpu"),
        (asks(cpu="1"), (asks(cpu="2500m"),), "OutOfcpu"),
        (asks(memory="7Gi"), (), ""),
        (asks(memory="7.1Gi"), (), "OutOfmemory"),
        (asks(**{"ephemeral-storage": "101Gi"}), (), "OutOfephemeral-storage"),
        (asks(**{"hugepages-2Mi": "6Mi"}), (), "OutOfhugepages-2Mi"),
        ("app", ("a", "b"), "OutOfpods"),
        (asks(**{"example.com/dongle": "1"}), (), ""),
    ],
)
def test_room(wish: Any, others: tuple[Any, ...], expected: str) -> None:
    assert reason(pod(wish), *(pod(other) for other in others)) == expected


def test_a_refusal_gives_the_figures() -> None:
    found = admission.refuse(pod(asks(cpu="1")), (pod(asks(cpu="2500m")),), LABELS, CONFIG)
    assert found is not None
    assert found.message == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 2500, capacity: 3000"
    )


def terms(*expressions: tuple[str, str, list[str]], fields: bool = False) -> dict[str, Any]:
    listed = [{"key": key, "operator": operator, "values": values} for key, operator, values in expressions]
    term = {"matchFields" if fields else "matchExpressions": listed}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


@pytest.mark.parametrize(
    ("affinity", "fits"),
    [
        (terms(("disk", "In", ["fast", "slow"])), True),
        (terms(("disk", "NotIn", ["fast"])), False),
        (terms(("gpu", "Exists", [])), False),
        (terms(("gpu", "DoesNotExist", [])), True),
        (terms(("cores", "Gt", ["7"]), ("cores", "Lt", ["9"])), True),
        (terms(("cores", "Gt", ["8"])), False),
        (terms(("metadata.name", "In", ["n1"]), fields=True), True),
        (terms(("metadata.name", "In", ["n2"]), fields=True), False),
        (terms(), False),
    ],
)
def test_node_affinity(affinity: dict[str, Any], fits: bool) -> None:
    assert reason(pod(affinity=affinity)) == ("" if fits else "NodeAffinity")


def test_node_selectors() -> None:
    assert reason(pod(nodeSelector={"disk": "fast"})) == ""
    assert reason(pod(nodeSelector={"disk": "slow"})) == "NodeAffinity"
    assert reason(pod(nodeSelector={"kubernetes.io/os": "windows"})) == "PodOSSelectorNodeLabelDoesNotMatch"
    assert reason(pod(os={"name": "windows"})) == "PodOSNotSupported"


def port(number: int, ip: str = "", protocol: str = "TCP") -> dict[str, Any]:
    return {
        "name": "app",
        "ports": [{"containerPort": 80, "hostPort": number, "hostIP": ip or None, "protocol": protocol}],
    }


@pytest.mark.parametrize(
    ("mine", "theirs", "clash"),
    [
        (port(80), port(80), True),
        (port(80), port(81), False),
        (port(80, protocol="UDP"), port(80), False),
        (port(80, "10.0.0.1"), port(80, "10.0.0.2"), False),
        (port(80, "10.0.0.1"), port(80), True),
        (port(80, "0.0.0.0"), port(80, "10.0.0.2"), True),
    ],
)
def test_host_ports(mine: Any, theirs: Any, clash: bool) -> None:
    assert reason(pod(mine), pod(theirs)) == ("NodePorts" if clash else "")


@pytest.mark.parametrize(
    ("name", "more", "allowed"),
    [
        ("kernel.shm_rmid_forced", {}, True),
        ("net/ipv4/tcp_syncookies", {}, True),
        ("kernel.msgmax", {}, True),
        ("kernel.sem", {}, False),
        ("net.ipv4.tcp_syncookies", {"hostNetwork": True}, False),
        ("kernel.shm_rmid_forced", {"hostIPC": True}, False),
    ],
)
def test_sysctls(name: str, more: dict[str, Any], allowed: bool) -> None:
    spec = pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **more)
    assert reason(spec) == ("" if allowed else "SysctlForbidden")


@pytest.mark.parametrize(
    ("spec", "pressures", "allowed"),
    [
        (pod(), (), True),
        (pod(), ("MemoryPressure",), False),
        (pod(asks(memory="1Mi")), ("MemoryPressure",), True),
        (
            pod(tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]),
            ("MemoryPressure",),
            True,
        ),
        (pod(asks(memory="1Mi")), ("DiskPressure",), False),
        (pod(priority=2_000_000_001), ("DiskPressure", "MemoryPressure"), True),
    ],
)
def test_pressure(spec: core_v1.Pod, pressures: tuple[str, ...], allowed: bool) -> None:
    found = admission.refuse(spec, (), LABELS, CONFIG, pressures)
    assert (found is None) is allowed
    if found is not None:
        assert found.message == f"Pod was rejected: The node had condition: [{' '.join(pressures)}]. "
