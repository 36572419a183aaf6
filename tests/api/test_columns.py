from __future__ import annotations

import pathlib
from typing import Any

import msgspec
import pytest

from sampan.api import duration
from sampan.api.columns.common import access_modes, first, selector
from sampan.api.kinds import autoscaling, batch, certificates, core, discovery, networking, rbac
from sampan.api.kinds.kind import Kind
from sampan.api.types import core_v1, meta_v1
from tests.api import golden

NOW = duration.unix("2026-01-02T03:04:05Z")


def cells(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    object = msgspec.convert(document, kind.type)
    return {column.name: column.cell(object, NOW) for column in kind.columns}


@pytest.mark.parametrize("path", golden.inputs("pods"), ids=lambda path: path.name.split(".")[0])
def test_pods(path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    rows = [[column.name.upper() for column in core.POD.columns]]
    for document in golden.documents(path):
        for statuses in ("containerStatuses", "initContainerStatuses"):
            for status in document["status"].get(statuses, ()):
                status.update({"ready": status.get("ready", False), "restartCount": status.get("restartCount", 0)})
        pod = msgspec.convert(document, core_v1.Pod)
        rows.append([str(column.cell(pod, NOW)) for column in core.POD.columns])
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    golden.check(path, "txt", "\n".join(lines) + "\n", request.config.getoption("--update"))


def test_service() -> None:
    made = cells(
        core.SERVICE,
        {
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.96.0.10",
                "externalIPs": ["192.0.2.1"],
                "selector": {"b": "2", "a": "1"},
                "ports": [{"port": 53, "protocol": "UDP"}, {"port": 80, "protocol": "TCP", "nodePort": 30080}],
            }
        },
    )
    assert made["Port(s)"] == "53/UDP,80:30080/TCP"
    assert made["External-IP"] == "192.0.2.1"
    assert made["Selector"] == "a=1,b=2"


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"type": "ClusterIP"}, {}, "<none>"),
        ({"type": "LoadBalancer"}, {}, "<pending>"),
        ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "h"}]}}, "9.9.9.9,h"),
        ({"type": "ExternalName", "externalName": "example.com"}, {}, "example.com"),
    ],
)
def test_external_ip(spec: dict[str, Any], status: dict[str, Any], expected: str) -> None:
    assert cells(core.SERVICE, {"spec": spec, "status": status})["External-IP"] == expected


def test_node() -> None:
    labels = {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "worker", "other": "x"}
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
    }
    made = cells(core.NODE, {"metadata": {"labels": labels}, "spec": {"unschedulable": True}, "status": status})
    assert made["Status"] == "Ready,SchedulingDisabled"
    assert made["Roles"] == "control-plane,worker"
    assert (made["Internal-IP"], made["External-IP"], made["OS-Image"]) == ("10.0.0.1", "<none>", "<unknown>")
    status["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    assert cells(core.NODE, {"status": status})["Status"] == "NotReady"
    assert cells(core.NODE, {})["Status"] == "Unknown"


def test_event() -> None:
    made = cells(
        core.EVENT,
        {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{c}"},
            "lastTimestamp": "2026-01-02T03:03:05Z",
            "firstTimestamp": "2026-01-02T02:04:05Z",
            "count": 4,
            "source": {"component": "kubelet", "host": "n1"},
            "message": "hello\n",
        },
    )
    assert (made["Last Seen"], made["First Seen"], made["Count"]) == ("60s", "60m", "4")
    assert (made["Object"], made["Source"], made["Message"]) == ("pod/web", "kubelet, n1", "hello")
    series = {"involvedObject": {"kind": "Node"}, "eventTime": "2026-01-02T03:04:00.000000Z"}
    assert cells(core.EVENT, series)["Last Seen"] == "5s"


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"completions": 3}, {"succeeded": 1}, ("Running", "1/3", "")),
        ({"parallelism": 4}, {}, ("Running", "0/1 of 4", "")),
        ({}, {"startTime": "2026-01-02T03:03:05Z"}, ("Running", "0/1", "60s")),
        (
            {"completions": 1},
            {
                "succeeded": 1,
                "startTime": "2026-01-02T03:03:05Z",
                "completionTime": "2026-01-02T03:03:10Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ("Complete", "1/1", "5s"),
        ),
        ({}, {"conditions": [{"type": "Suspended", "status": "True"}]}, ("Suspended", "0/1", "")),
        ({}, {"conditions": [{"type": "Failed", "status": "True"}]}, ("Failed", "0/1", "")),
    ],
)
def test_job(spec: dict[str, Any], status: dict[str, Any], expected: tuple[str, str, str]) -> None:
    made = cells(batch.JOB, {"spec": spec, "status": status})
    assert (made["Status"], made["Completions"], made["Duration"]) == expected


def test_autoscaler() -> None:
    target = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "metrics": [metric], "maxReplicas": 3}
    made = cells(autoscaling.HORIZONTAL_POD_AUTOSCALER, {"spec": spec})
    assert (made["Reference"], made["Targets"]) == ("Deployment/web", "cpu: <unknown>/80%")
    current = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}
    made = cells(autoscaling.HORIZONTAL_POD_AUTOSCALER, {"spec": spec, "status": {"currentMetrics": [current]}})
    assert made["Targets"] == "cpu: 12%/80%"


def test_claims_and_bindings() -> None:
    claim = {"spec": {"volumeName": "pv", "volumeMode": "Filesystem"}, "status": {"capacity": {"storage": "1Gi"}}}
    assert cells(core.PERSISTENT_VOLUME_CLAIM, claim)["Capacity"] == "1Gi"
    binding = {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
    }
    made = cells(rbac.ROLE_BINDING, binding)
    assert (made["Role"], made["Users"], made["ServiceAccounts"]) == ("Role/r", "u", "n/s")


def test_slices_and_ingresses() -> None:
    endpoints = [{"addresses": [f"10.0.0.{n}"]} for n in range(5)]
    made = cells(discovery.ENDPOINT_SLICE, {"ports": [{"port": 80}, {}], "endpoints": endpoints})
    assert (made["Ports"], made["Endpoints"]) == ("80,*", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...")
    made = cells(networking.INGRESS, {"spec": {"rules": [{"host": "a"}, {"host": "b"}], "tls": [{}]}})
    assert (made["Hosts"], made["Ports"], made["Class"]) == ("a,b", "80, 443", "<none>")


@pytest.mark.parametrize(
    ("types", "certificate", "expected"),
    [((), "", "Pending"), (("Approved",), "eA==", "Approved,Issued"), (("Denied", "Failed"), "", "Denied,Failed")],
)
def test_signing_request(types: tuple[str, ...], certificate: str, expected: str) -> None:
    status = {"conditions": [{"type": t, "status": "True"} for t in types], "certificate": certificate or None}
    assert cells(certificates.CERTIFICATE_SIGNING_REQUEST, {"status": status})["Condition"] == expected


def test_quota() -> None:
    status = {"hard": {"limits.cpu": "4", "pods": "10", "cpu": "2"}, "used": {"pods": "3"}}
    made = cells(core.RESOURCE_QUOTA, {"status": status})
    assert (made["Request"], made["Limit"]) == ("cpu: 0/2, pods: 3/10", "limits.cpu: 0/4")


def test_common_words() -> None:
    given = meta_v1.LabelSelector(
        matchLabels={"b": "1"},
        matchExpressions=(
            meta_v1.LabelSelectorRequirement(key="a", operator="In", values=("y", "x")),
            meta_v1.LabelSelectorRequirement(key="c", operator="DoesNotExist"),
            meta_v1.LabelSelectorRequirement(key="d", operator="NotIn", values=("z",)),
        ),
    )
    assert selector(given) == "a in (x,y),b=1,!c,d notin (z)"
    assert access_modes(["ReadWriteMany", "ReadWriteOnce"]) == "RWO,RWX"
    assert first(["a", "b", "c", "d"]) == "a,b,c + 1 more..."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-0.5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"),
        (600, "10m"), (10799, "179m"), (10800, "3h"), (10860, "3h1m"), (28800, "8h"), (172799, "47h"),
        (172800, "2d"), (176400, "2d1h"), (691200, "8d"), (63072000, "2y"), (63158400, "2y1d"), (252288000, "8y"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration.human(seconds) == text
