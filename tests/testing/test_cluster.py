from __future__ import annotations

from sampan.api.types import apps_v1, core_v1
from sampan.testing.cluster import Cluster

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""


async def test_a_deployment_becomes_ready(cluster: Cluster) -> None:
    await cluster.apply(WEB)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.readyReplicas == 3)
    pods = (await cluster.client.list(core_v1.Pod, "default")).items
    assert {pod.spec.nodeName for pod in pods} == {"node-1"}
    assert len({pod.status.podIP for pod in pods}) == 3
