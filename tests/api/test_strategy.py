from __future__ import annotations

import copy
from typing import Any

import pytest

from sampan.api import strategy
from sampan.api.kinds import apiextensions, batch, certificates, core

CPU = {"cpu": "1", "memory": "1Gi"}


def resources(requests: Any = None, limits: Any = None) -> dict[str, Any]:
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value is not None}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{}], "BestEffort"),
        ([resources(requests={"cpu": "0"})], "BestEffort"),
        ([resources(requests={"example.com/gpu": "1"})], "BestEffort"),
        ([resources(CPU, CPU)], "Guaranteed"),
        ([resources({"cpu": "1000m", "memory": "1024Mi"}, CPU)], "Guaranteed"),
        ([resources(limits=CPU)], "Guaranteed"),
        ([resources(CPU, CPU), {}], "Burstable"),
        ([resources({"cpu": "500m"}, CPU)], "Burstable"),
        ([resources(limits={"cpu": "1"})], "Burstable"),
        ([resources(requests={"cpu": "nonsense"})], "BestEffort"),
    ],
)
def test_qos(containers: list[dict[str, Any]], expected: str) -> None:
    spec = {"containers": [{"name": str(n), "resources": r} for n, r in enumerate(containers)]}
    assert strategy.qos_class(spec) == expected


def test_qos_of_pod_level_resources() -> None:
    assert strategy.qos_class({"resources": resources(CPU, CPU), "containers": [{}]}) == "Guaranteed"


def test_new_pods_are_pending() -> None:
    pod: dict[str, Any] = {"spec": {"schedulingGates": [{"name": "g"}]}, "status": {"phase": "Running", "podIP": "x"}}
    core.POD.prepare_create(pod)
    assert pod["status"]["phase"] == "Pending"
    assert pod["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert "podIP" not in pod["status"]


def test_updates_keep_status() -> None:
    new = {"spec": {}, "status": {"phase": "Failed"}}
    core.POD.prepare_update(new, {"status": {"phase": "Running"}})
    assert new["status"] == {"phase": "Running"}
    core.POD.prepare_update(new, {})
    assert "status" not in new


def test_namespace() -> None:
    namespace: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"finalizers": ["example.com/mine"]}}
    core.NAMESPACE.prepare_create(namespace)
    assert namespace["spec"]["finalizers"] == ["example.com/mine", "kubernetes"]
    new: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"finalizers": []}}
    core.NAMESPACE.prepare_update(new, namespace)
    assert new["spec"] == namespace["spec"]


def test_job_selects_by_its_uid() -> None:
    job: dict[str, Any] = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}
    batch.JOB.prepare_create(job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "controller-uid": "u",
        "batch.kubernetes.io/controller-uid": "u",
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
    }
    manual = {"metadata": {"name": "j", "uid": "u"}, "spec": {"manualSelector": True, "template": {}}}
    batch.JOB.prepare_create(manual)
    assert manual["spec"] == {"manualSelector": True, "template": {}}


OLD = {
    "spec": {
        "type": "NodePort",
        "clusterIP": "10.96.0.5",
        "clusterIPs": ["10.96.0.5"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "externalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}],
    },
    "status": {"loadBalancer": {}},
}


def update_service(spec: dict[str, Any], old: dict[str, Any] = OLD) -> dict[str, Any]:
    new = {"spec": spec, "status": {"x": 1}}
    core.SERVICE.prepare_update(new, copy.deepcopy(old))
    assert new["status"] == old["status"]
    return spec


def test_service_keeps_what_was_allocated() -> None:
    spec = update_service({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81}]})
    assert spec["clusterIP"] == "10.96.0.5"
    assert spec["clusterIPs"] == ["10.96.0.5"]
    assert [port.get("nodePort") for port in spec["ports"]] == [30080, None]
    assert spec["ipFamilies"] == ["IPv4"]


def test_service_forgets_what_its_new_type_has_no_use_for() -> None:
    spec = update_service({**copy.deepcopy(OLD["spec"]), "type": "ClusterIP"})
    assert "nodePort" not in spec["ports"][0]
    assert "externalTrafficPolicy" not in spec
    assert spec["clusterIP"] == "10.96.0.5"
    spec = update_service({**copy.deepcopy(OLD["spec"]), "type": "ExternalName", "externalName": "example.com"})
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & spec.keys()


def test_service_keeps_its_health_port() -> None:
    balancer = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    old = {"spec": balancer, "status": {}}
    assert update_service({k: v for k, v in balancer.items() if k[0] != "h"}, old)["healthCheckNodePort"] == 31000
    changed = {**balancer, "externalTrafficPolicy": "Cluster"}
    assert "healthCheckNodePort" not in update_service(changed, old)


def test_signing_request_never_changes() -> None:
    new = {"spec": {"request": "b"}, "status": {}}
    old = {"spec": {"request": "a"}, "status": {"certificate": "x"}}
    certificates.CERTIFICATE_SIGNING_REQUEST.prepare_update(new, old)
    assert new == old


def test_definition_remembers_storage_versions() -> None:
    kind = apiextensions.CUSTOM_RESOURCE_DEFINITION
    old: dict[str, Any] = {"spec": {"versions": [{"name": "v1", "storage": True}]}, "status": {"storedVersions": ["x"]}}
    kind.prepare_create(old)
    assert old["status"] == {"storedVersions": ["v1"]}
    new: dict[str, Any] = {"spec": {"versions": [{"name": "v1"}, {"name": "v2", "storage": True}]}}
    kind.prepare_update(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    assert old["status"] == {"storedVersions": ["v1"]}
