from __future__ import annotations

import pytest

from sampan.api.types import batch_v1
from sampan.controllers import ttlafterfinished
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Delete, Requeue
from sampan.runtime.clock import rfc3339
from sampan.testing.cluster import Cluster
from sampan.testing.world import START, World

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: work, annotations: {}}
spec:
  ttlSecondsAfterFinished: %s
  template:
    metadata: {annotations: {pretend.sampan.dev/exits: "0"}}
    spec: {restartPolicy: Never, containers: [{name: main, image: i}]}
status:
  conditions: [{type: %s, status: "%s", lastTransitionTime: "%s"}]
"""


@pytest.mark.parametrize(
    ("ttl", "type", "status", "expected"),
    [
        ("100", "Complete", "True", [Requeue(70.0)]),
        ("100", "Failed", "True", [Requeue(70.0)]),
        ("100", "Suspended", "True", []),
        ("100", "Complete", "False", []),
        ("null", "Complete", "True", []),
    ],
)
def test_when_to_look(ttl: str, type: str, status: str, expected: list[Requeue]) -> None:
    controller = ttlafterfinished.declare(Settings())
    here = World(controller)
    here.load(JOB % (ttl, type, status, rfc3339(START - 30)))
    assert here.plan(controller, "work") == expected


@pytest.mark.parametrize("ttl", ["0", "30"])
def test_it_goes_unless_somebody_changed_it(ttl: str) -> None:
    controller = ttlafterfinished.declare(Settings())
    here = World(controller)
    here.load(JOB % (ttl, "Complete", "True", rfc3339(START - 30)))
    (action,) = here.plan(controller, "work")
    assert isinstance(action, Delete)
    assert (action.propagation, action.unchanged) == ("Foreground", True)


async def test_a_job_and_its_pods_go(cluster: Cluster) -> None:
    text = JOB[: JOB.index("status:")] % "0"
    await cluster.apply(text)
    await cluster.wait_gone(batch_v1.Job, "work")
