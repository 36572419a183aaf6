"""Apps on a whole cluster: what they become, how they are released, what they say when it goes wrong."""

from __future__ import annotations

import base64

import pytest

from sampan.api import conditions
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import apps_v1, autoscaling_v2, batch_v1, core_v1, networking_v1
from sampan.controllers.settings import Settings
from sampan.testing.cluster import Cluster

VOLUMES = Settings(root_ca="none", volume_root="/nowhere")
HEAD = "apiVersion: sampan.dev/v1\nkind: App\nmetadata: {name: web}\nspec:\n  "


def step(app: App, name: str):
    found = conditions.find(app.status.conditions, name)
    assert found is not None, app.status
    return found


def is_ready(app: App) -> bool:
    current = app.status.observedGeneration == app.metadata.generation
    return current and conditions.is_true(app.status.conditions, "PodsReady")


async def test_a_stateless_app(cluster: Cluster) -> None:
    await cluster.apply(
        HEAD + "source: {image: web:1}\n  replicas: 2\n  port: 8000\n  env: {A: b}\n  host: web.localhost"
    )
    app = await cluster.wait_for(App, "web", is_ready)
    deployment = await cluster.client.get(apps_v1.Deployment, "web", "default")
    container = deployment.spec.template.spec.containers[0]
    assert {each.name: each.value for each in container.env} == {"PORT": "8000", "A": "b"}
    assert container.readinessProbe.tcpSocket.port == 8000
    assert deployment.metadata.ownerReferences[0].kind == "App"
    assert (await cluster.client.get(core_v1.Service, "web", "default")).spec.ports[0].port == 8000
    assert (await cluster.client.get(networking_v1.Ingress, "web", "default")).spec.rules[0].host == "web.localhost"
    app = await cluster.wait_for(App, "web", lambda app: step(app, "Exposed").status == "True")
    assert [each.type for each in app.status.conditions] == [
        *("ImageBuilt", "PodsReady", "VolumesBound", "Exposed", "Published", "Monitored")
    ]
    assert step(app, "Exposed").message == "web:8000 leads to 2 pods"
    assert step(app, "VolumesBound").reason == "NoVolumes"
    assert step(app, "Published").reason == "NoIngressController"
    assert (app.status.ready, app.status.release, app.status.image) == ("2/2", 1, "web:1")


async def test_children_are_mended_and_go_with_the_app(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web:1}\n  port: 80")
    await cluster.wait_for(App, "web", is_ready)
    await cluster.client.patch(apps_v1.Deployment, "web", "default", body={"spec": {"replicas": 4}})
    await cluster.wait_for(apps_v1.Deployment, "web", lambda each: each.spec.replicas == 1)
    await cluster.client.delete(core_v1.Service, "web", "default")
    await cluster.wait_for(core_v1.Service, "web")
    await cluster.client.delete(App, "web", "default")
    await cluster.wait_gone(apps_v1.Deployment, "web")
    await cluster.wait_gone(core_v1.Service, "web")


@pytest.mark.cluster(settings=VOLUMES)
async def test_nothing_is_written_when_nothing_changes(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web:1}\n  port: 80\n  scale: {max: 3}\n  volumes: [{path: /data}]")
    app = await cluster.wait_for(App, "web", is_ready)
    before = [
        (await cluster.client.get(kind, name, "default")).metadata.resourceVersion
        for kind, name in ((core_v1.Service, "web"), (autoscaling_v2.HorizontalPodAutoscaler, "web"))
    ]
    await cluster.client.patch(App, "web", "default", body={"metadata": {"annotations": {"x": "y"}}})
    await cluster.client.patch(App, "web", "default", body={"spec": {"env": {"A": "b"}}})
    app = await cluster.wait_for(App, "web", lambda app: is_ready(app) and app.status.release == 2)
    assert before == [
        (await cluster.client.get(kind, name, "default")).metadata.resourceVersion
        for kind, name in ((core_v1.Service, "web"), (autoscaling_v2.HorizontalPodAutoscaler, "web"))
    ]
    assert app.status.ready == "1/1"


async def test_an_autoscaler_keeps_its_number(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web:1}\n  scale: {min: 1, max: 5, cpu: 70%}")
    await cluster.wait_for(App, "web", is_ready)
    scaler = await cluster.client.get(autoscaling_v2.HorizontalPodAutoscaler, "web", "default")
    assert scaler.spec.metrics[0].resource.target.averageUtilization == 70
    await cluster.client.patch(apps_v1.Deployment, "web", "default", body={"spec": {"replicas": 3}})
    await cluster.client.patch(App, "web", "default", body={"spec": {"env": {"A": "b"}}})
    app = await cluster.wait_for(App, "web", lambda app: is_ready(app) and app.status.release == 2)
    assert app.status.ready == "3/3"


@pytest.mark.cluster(settings=VOLUMES)
async def test_a_stateful_app(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: db}\n  type: stateful\n  replicas: 2\n  volumes: [{path: /data}]")
    await cluster.wait_for(App, "web", is_ready)
    claims = (await cluster.client.list(core_v1.PersistentVolumeClaim, "default")).items
    assert {claim.metadata.name for claim in claims} == {"data-web-0", "data-web-1"}
    assert (await cluster.client.get(core_v1.Service, "web-pods", "default")).spec.clusterIP == "None"
    larger = {"spec": {"volumes": [{"path": "/data", "name": "data", "size": "3Gi"}]}}
    await cluster.client.patch(App, "web", "default", body=larger)
    for name in ("data-web-0", "data-web-1"):
        await cluster.wait_for(core_v1.PersistentVolumeClaim, name, lambda each: asked(each) == "3Gi")


def asked(claim: core_v1.PersistentVolumeClaim) -> str:
    return claim.spec.resources.requests["storage"]


async def test_a_daemon(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: agent}\n  type: daemon")
    app = await cluster.wait_for(App, "web", is_ready)
    assert app.status.ready == "1/1"


@pytest.mark.cluster(nodes=1)
async def test_a_batch_app_runs_once_a_release(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: work:1}\n  type: batch")
    await cluster.wait_for(batch_v1.Job, "web-r1")
    await cluster.client.patch(App, "web", "default", body={"spec": {"source": {"image": "work:2"}}})
    await cluster.wait_for(batch_v1.Job, "web-r2")
    await cluster.wait_gone(batch_v1.Job, "web-r1")


async def test_a_cron_app(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: work:1}\n  type: cron\n  schedule: '0 3 * * *'")
    app = await cluster.wait_for(App, "web", is_ready)
    assert "runs at 0 3 * * *" in step(app, "PodsReady").message


async def test_needs_become_environment(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web}\n  needs: [{name: db, app: mariadb}]")
    await cluster.wait_for(core_v1.ConfigMap, "web-needs", lambda each: each.data == {"DB_HOST": "mariadb"})
    await cluster.apply(
        HEAD.replace("web", "mariadb") + "source: {image: db}\n  type: stateful\n  port: 3306\n  secrets: [PASSWORD]"
    )
    found = await cluster.wait_for(core_v1.ConfigMap, "web-needs", lambda each: "DB_PORT" in each.data)
    assert found.data == {"DB_HOST": "mariadb", "DB_PORT": "3306"}
    secret = await cluster.wait_for(core_v1.Secret, "mariadb-secret")
    value = base64.b64decode(secret.data["PASSWORD"])
    assert len(value) >= 24
    deployment = await cluster.client.get(apps_v1.Deployment, "web", "default")
    prefixed = [each for each in deployment.spec.template.spec.containers[0].envFrom if each.prefix]
    assert [(each.prefix, each.secretRef.name) for each in prefixed] == [("DB_", "mariadb-secret")]
    await cluster.client.patch(App, "mariadb", "default", body={"spec": {"secrets": ["PASSWORD", "ROOT"]}})
    secret = await cluster.wait_for(core_v1.Secret, "mariadb-secret", lambda each: "ROOT" in each.data)
    assert base64.b64decode(secret.data["PASSWORD"]) == value


async def test_a_change_of_type_leaves_nothing_behind(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web}\n  port: 80")
    await cluster.wait_for(App, "web", is_ready)
    await cluster.client.patch(App, "web", "default", body={"spec": {"type": "daemon", "replicas": None}})
    await cluster.wait_for(apps_v1.DaemonSet, "web")
    await cluster.wait_gone(apps_v1.Deployment, "web")
    await cluster.client.get(core_v1.Service, "web", "default")


async def test_claims_stay_when_the_app_goes(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web}\n  volumes: [{path: /data}]")
    await cluster.wait_for(core_v1.PersistentVolumeClaim, "web-data")
    await cluster.client.delete(App, "web", "default")
    await cluster.wait_gone(apps_v1.Deployment, "web")
    await cluster.client.get(core_v1.PersistentVolumeClaim, "web-data", "default")


async def test_what_belongs_to_others_is_left_alone(cluster: Cluster) -> None:
    await cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 1}], selector: {a: b}}"
    )
    await cluster.apply(HEAD + "source: {image: web}\n  port: 80")
    app = await cluster.wait_for(App, "web", lambda app: is_ready(app) and step(app, "Exposed").reason == "Refused")
    assert "does not belong to the app web" in step(app, "Exposed").message
    assert (await cluster.client.get(core_v1.Service, "web", "default")).spec.ports[0].port == 1


async def test_without_an_image_nothing_runs(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {path: .}\n  port: 80")
    app = await cluster.wait_for(App, "web", lambda app: bool(app.status.conditions))
    assert step(app, "ImageBuilt").reason == "WaitsForBuild"
    assert "sampan deploy" in step(app, "ImageBuilt").message
    assert (await cluster.client.list(apps_v1.Deployment, "default")).items == ()
