"""The official Python client against a cluster that runs beside the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException

from sampan.testing.thread import ServedCluster

WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        },
    },
}


@pytest.fixture
def api(served_cluster: ServedCluster, tmp_path: Path) -> client.ApiClient:
    settings = client.Configuration()
    config.load_kube_config(str(served_cluster.kubeconfig), client_configuration=settings, temp_file_path=str(tmp_path))
    made = client.ApiClient(settings)
    yield made
    made.close()


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"of": "test"}), data=data)


def test_create_read_replace_patch_delete(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map("default", config_map("a", x="1"))
    assert made.metadata.uid and made.data == {"x": "1"}
    made.data["y"] = "2"
    assert core.replace_namespaced_config_map("a", "default", made).data == {"x": "1", "y": "2"}
    patched = core.patch_namespaced_config_map("a", "default", {"data": {"x": None, "z": "3"}})
    assert patched.data == {"y": "2", "z": "3"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("a", "default", made)
    assert conflict.value.status == 409
    core.delete_namespaced_config_map("a", "default")
    with pytest.raises(ApiException) as absent:
        core.read_namespaced_config_map("a", "default")
    assert absent.value.status == 404


def test_list_with_selectors_and_pages(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    for number in range(7):
        core.create_namespaced_config_map("default", config_map(f"c{number}"))
    found = core.list_namespaced_config_map("default", label_selector="of=test")
    assert len(found.items) == 7
    page = core.list_namespaced_config_map("default", label_selector="of=test", limit=3)
    names = [each.metadata.name for each in page.items]
    while page.metadata._continue:
        page = core.list_namespaced_config_map(
            "default", label_selector="of=test", limit=3, _continue=page.metadata._continue
        )
        names += [each.metadata.name for each in page.items]
    assert names == [f"c{number}" for number in range(7)]
    one = core.list_namespaced_config_map("default", field_selector="metadata.name=c3")
    assert [each.metadata.name for each in one.items] == ["c3"]


def test_watch_from_a_list(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    start = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", config_map("a"))
    core.patch_namespaced_config_map("a", "default", {"data": {"x": "1"}})
    core.delete_namespaced_config_map("a", "default")
    seen = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, "default", resource_version=start, label_selector="of=test", timeout_seconds=10
    ):
        seen.append(event["type"])
        if event["type"] == "DELETED":
            stream.stop()
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


def test_a_deployment_rolls(served_cluster: ServedCluster, api: client.ApiClient) -> None:
    utils.create_from_dict(api, WEB)
    apps, stream = client.AppsV1Api(api), watch.Watch()
    for event in stream.stream(apps.list_namespaced_deployment, "default", timeout_seconds=20):
        if (event["object"].status.available_replicas or 0) == 2:
            stream.stop()
    pods = client.CoreV1Api(api).list_namespaced_pod("default", label_selector="app=web").items
    assert {pod.status.phase for pod in pods} == {"Running"}
    scaled = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
    assert scaled.spec.replicas == 3


def test_version_and_apis(api: client.ApiClient) -> None:
    assert client.VersionApi(api).get_code().git_version.startswith("v1.37")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups
