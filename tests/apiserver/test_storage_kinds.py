"""Lives of the kinds of storage, their statuses, and settings that do not change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.conftest import CONFIGS, PODS, Api, Lines, config, pod
from tests.covers import covers

GROUP = "/apis/storage.k8s.io/v1"
NAMESPACE = "/api/v1/namespaces/default"
SECRETS = f"{NAMESPACE}/secrets"
CAPACITIES = f"{GROUP}/namespaces/default/csistoragecapacities"
ATTACHMENTS = f"{GROUP}/volumeattachments"
ATTACHMENT = {"attacher": "e2e.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv"}}
LABELLED = "labelSelector=set=one"
RUNS = "should run through the lifecycle of a"

KINDS = (
    ("csidrivers", {"spec": {"attachRequired": False}}, f"CSIInlineVolumes {RUNS} CSIDriver"),
    ("csinodes", {"spec": {"drivers": []}}, f"CSINodes CSI Conformance {RUNS} csinode"),
    ("storageclasses", {"provisioner": "example.com/x"}, f"StorageClasses CSI Conformance {RUNS} StorageClass"),
    ("volumeattachments", {"spec": ATTACHMENT}, f"VolumeAttachment Conformance {RUNS} VolumeAttachment"),
)


def named(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"set": "one"}}, **body}


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


@pytest.mark.parametrize(
    ("resource", "body"),
    [
        pytest.param(resource, body, id=resource, marks=covers(f"[sig-storage] {title} [Conformance]"))
        for resource, body, title in KINDS
    ],
)
async def test_the_life_of(api: Api, resource: str, body: dict[str, Any]) -> None:
    kinds = f"{GROUP}/{resource}"
    made = await api.post(kinds, named("a", body))
    assert made.status == 201, made.body
    assert (await api.get(f"{kinds}/a"))["metadata"]["uid"] == made["metadata"]["uid"]
    patched = await api.patch(f"{kinds}/a", {"metadata": {"labels": {"patched": "yes"}}})
    assert patched["metadata"]["labels"] == {"set": "one", "patched": "yes"}
    assert names(await api.get(f"{kinds}?labelSelector=patched=yes")) == ["a"]
    assert (await api.delete(f"{kinds}/a")).status == 200
    assert (await api.get(f"{kinds}/a")).status == 404

    wanted = (await api.post(kinds, named("b", body))).json
    wanted["metadata"]["labels"]["updated"] = "yes"
    assert (await api.put(f"{kinds}/b", wanted))["metadata"]["labels"] == {"set": "one", "updated": "yes"}
    assert names(await api.get(f"{kinds}?labelSelector=updated=yes")) == ["b"]
    await api.post(kinds, {**body, "metadata": {"name": "other"}})
    assert (await api.delete(f"{kinds}?{LABELLED}")).status == 200
    assert names(await api.get(kinds)) == ["other"]


@covers("[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]")
async def test_capacities(api: Api) -> None:
    groups = (await api.get("/apis"))["groups"]
    (group,) = [each for each in groups if each["name"] == "storage.k8s.io"]
    assert "storage.k8s.io/v1" in [each["groupVersion"] for each in group["versions"]]
    assert (await api.get("/apis/storage.k8s.io"))["preferredVersion"]["version"] == "v1"
    assert "csistoragecapacities" in [each["name"] for each in (await api.get(GROUP))["resources"]]

    body = {"storageClassName": "fast", "capacity": "1Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}}
    for name in "abc":
        assert (await api.post(CAPACITIES, named(name, body))).status == 201
    listed = (await api.get(f"{CAPACITIES}?{LABELLED}")).json
    assert names(listed) == ["a", "b", "c"]
    assert names(await api.get(f"{GROUP}/csistoragecapacities?{LABELLED}")) == ["a", "b", "c"]
    version = listed["metadata"]["resourceVersion"]
    watch = Lines(await api.open("GET", f"{CAPACITIES}?watch=1&resourceVersion={version}&{LABELLED}"))
    await api.patch(f"{CAPACITIES}/a", {"metadata": {"annotations": {"patched": "yes"}}})
    wanted = (await api.get(f"{CAPACITIES}/a")).json
    assert wanted["metadata"]["annotations"] == {"patched": "yes"}
    wanted["metadata"]["annotations"]["updated"] = "yes"
    wanted["capacity"] = "2Gi"
    await api.put(f"{CAPACITIES}/a", wanted)
    seen = [await watch.next(), await watch.next()]
    assert [(type, each["capacity"]) for type, each in seen] == [("MODIFIED", "1Gi"), ("MODIFIED", "2Gi")]
    assert (await api.delete(f"{CAPACITIES}/a")).status == 200
    type, gone = await watch.next()
    assert (type, gone["metadata"]["name"]) == ("DELETED", "a")
    await watch.close()
    assert (await api.get(f"{CAPACITIES}/a")).status == 404
    assert (await api.delete(f"{CAPACITIES}?{LABELLED}")).status == 200
    assert names(await api.get(CAPACITIES)) == []


@covers("[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]")
async def test_the_status_of_an_attachment(api: Api) -> None:
    made = await api.post(ATTACHMENTS, named("a", {"spec": ATTACHMENT}))
    assert made["status"] == {"attached": False}
    patch = {"metadata": {"annotations": {"status": "patched"}}, "status": {"attached": True}}
    patched = await api.patch(f"{ATTACHMENTS}/a/status", patch)
    assert patched["status"]["attached"] is True
    wanted = (await api.get(f"{ATTACHMENTS}/a/status")).json
    assert wanted["metadata"]["annotations"] == {"status": "patched"}
    wanted["status"] = {"attached": False, "attachError": {"message": "no such device"}}
    assert (await api.put(f"{ATTACHMENTS}/a/status", wanted)).status == 200
    assert (await api.get(f"{ATTACHMENTS}/a"))["status"]["attachError"]["message"] == "no such device"


@covers("[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]")
async def test_the_statuses_of_a_volume_and_its_claim(api: Api) -> None:
    volumes, claims = "/api/v1/persistentvolumes", f"{NAMESPACE}/persistentvolumeclaims"
    size: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none"}
    csi = {"driver": "e2e.example.com", "volumeHandle": "h"}
    volume = await api.post(volumes, named("pv", {"spec": {**size, "capacity": {"storage": "1Gi"}, "csi": csi}}))
    assert volume.status == 201, volume.body
    claim = {**size, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "pv"}
    assert (await api.post(claims, named("pvc", {"spec": claim}))).status == 201

    def condition(type: str) -> dict[str, str]:
        return {"type": type, "status": "True", "reason": "E2E", "message": f"set by {type}"}

    patch = {"metadata": {"annotations": {"a": "1"}}, "status": {"conditions": [condition("Patched")]}}
    await api.patch(f"{claims}/pvc/status", patch)
    wanted = (await api.get(f"{claims}/pvc/status")).json
    assert [each["type"] for each in wanted["status"]["conditions"]] == ["Patched"]
    assert wanted["metadata"]["annotations"]["a"] == "1"
    wanted["status"]["conditions"].append(condition("Updated"))
    await api.put(f"{claims}/pvc/status", wanted)
    found = (await api.get(f"{claims}/pvc"))["status"]["conditions"]
    assert [each["message"] for each in found] == ["set by Patched", "set by Updated"]

    await api.patch(f"{volumes}/pv/status", {"status": {"message": "patched", "reason": "E2E"}})
    wanted = (await api.get(f"{volumes}/pv/status")).json
    assert (wanted["status"]["message"], wanted["status"]["reason"]) == ("patched", "E2E")
    wanted["status"]["message"] = "updated"
    wanted["spec"]["capacity"] = {"storage": "9Gi"}
    await api.put(f"{volumes}/pv/status", wanted)
    after = (await api.get(f"{volumes}/pv")).json
    assert (after["status"]["message"], after["spec"]["capacity"]) == ("updated", {"storage": "1Gi"})


@covers("[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]")
async def test_a_volume_of_a_driver_in_a_pod(api: Api) -> None:
    driver = {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]}
    made = await api.post(f"{GROUP}/csidrivers", named("inline.example.com", {"spec": driver}))
    assert made["spec"]["volumeLifecycleModes"] == ["Ephemeral"]
    source = {"name": "v", "csi": {"driver": "inline.example.com", "readOnly": True}}
    body = named("p", {"spec": pod("p", volumes=[source])["spec"]})
    assert (await api.post(PODS, body)).status == 201
    assert source in (await api.get(f"{PODS}/p"))["spec"]["volumes"]
    (listed,) = (await api.get(f"{PODS}?{LABELLED}"))["items"]
    assert source in listed["spec"]["volumes"]
    patched = await api.patch(f"{PODS}/p", {"metadata": {"labels": {"patched": "yes"}}}, "strategic")
    assert patched["metadata"]["labels"]["patched"] == "yes" and source in patched["spec"]["volumes"]
    assert (await api.delete(f"{PODS}/p?gracePeriodSeconds=0")).status == 200
    assert (await api.get(f"{PODS}/p")).status == 404


@pytest.mark.parametrize(
    ("kinds", "before", "after"),
    [
        pytest.param(
            CONFIGS,
            "1",
            "2",
            id="configmap",
            marks=covers("[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]"),
        ),
        pytest.param(
            SECRETS,
            "MQ==",
            "Mg==",
            id="secret",
            marks=covers("[sig-storage] Secrets should be immutable if `immutable` field is set [Conformance]"),
        ),
    ],
)
async def test_what_is_immutable_stays(api: Api, kinds: str, before: str, after: str) -> None:
    await api.post(kinds, config("fixed", a=before))
    wanted = (await api.get(f"{kinds}/fixed")).json
    wanted["data"] = {"a": after}
    wanted = (await api.put(f"{kinds}/fixed", wanted)).json
    assert wanted["data"] == {"a": after}
    wanted["immutable"] = True
    wanted = (await api.put(f"{kinds}/fixed", wanted)).json
    data = await api.put(f"{kinds}/fixed", {**wanted, "data": {"a": before}})
    assert data.status == 422 and "data: Forbidden: field is immutable when `immutable` is set" in data.message
    back = await api.put(f"{kinds}/fixed", {**wanted, "immutable": False})
    assert back.status == 422 and "immutable: Forbidden: field is immutable when `immutable` is set" in back.message
    labels = {**wanted, "metadata": {**wanted["metadata"], "labels": {"free": "yes"}}}
    assert (await api.put(f"{kinds}/fixed", labels))["metadata"]["labels"] == {"free": "yes"}
    assert (await api.delete(f"{kinds}/fixed")).status == 200
    assert (await api.post(kinds, config("fixed", a=before))).status == 201
