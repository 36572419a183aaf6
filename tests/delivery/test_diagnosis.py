"""What is said about pods that do not work, and what the six steps make of it."""

from __future__ import annotations

import pytest

from sampan.api.extra import steps
from sampan.api.extra.diagnosis import Evidence, diagnose, exit_words, last_lines
from sampan.testing.objects import load, one

NOW = 1767323105.0  # 2026-01-02T03:05:05Z
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: web-x, creationTimestamp: "{created}", labels: {{sampan.dev/app: web, pod-template-hash: new}}}}
spec:
  nodeName: {node}
  containers:
    - name: app
      image: web:2
      readinessProbe: {{httpGet: {{path: /ok, port: 80}}}}
status:
  phase: {phase}
  startTime: "{created}"
  conditions: [{conditions}]
  containerStatuses:
    - {{name: app, image: web:2, imageID: "", ready: {ready}, restartCount: {restarts}, state: {{{state}}}, {more}}}
"""


def pod(
    state: str = "running: {}",
    *,
    phase: str = "Running",
    conditions: str = "",
    ready: str = "false",
    restarts: int = 0,
    more: str = "",
    node: str = "n",
    age: int = 10,
):
    created = f"2026-01-02T03:{5 - (age + 54) // 60:02}:{(5 - age) % 60:02}Z"
    return one(
        POD.format(
            created=created,
            phase=phase,
            conditions=conditions,
            ready=ready,
            restarts=restarts,
            state=state,
            more=more,
            node=node,
        )
    )


READY = "{type: Ready, status: 'True'}"
CRASHED = 'lastState: {terminated: {exitCode: 3, message: "one\\ntwo\\n\\nthree"}}'
LOOP = "waiting: {reason: CrashLoopBackOff, message: back-off}"


def test_a_pod_that_serves_has_no_trouble() -> None:
    assert diagnose(pod(conditions=READY, ready="true"), NOW) is None
    assert diagnose(pod(conditions=READY, ready="true", restarts=4, more=CRASHED), NOW) is None


@pytest.mark.parametrize(
    ("made", "reason", "lasting", "words"),
    [
        (pod(LOOP, restarts=3, more=CRASHED), "Crashing", True, "ended with exit code 3, 4 times so far"),
        (pod(LOOP, restarts=3, more=CRASHED), "Crashing", True, "it last wrote: one | two | three"),
        (pod(LOOP, restarts=1, more=CRASHED), "Crashing", False, "exit code 3"),
        (
            pod(LOOP, restarts=2, more="lastState: {terminated: {exitCode: 137, reason: OOMKilled}}"),
            "Crashing",
            True,
            "used more memory than its limit",
        ),
        (
            pod("waiting: {reason: ImagePullBackOff, message: no such image}"),
            "ImageNotFound",
            True,
            "web:2 cannot be had: no such image",
        ),
        (pod("waiting: {reason: ErrImagePull, message: x}"), "ImageNotFound", False, "cannot be had"),
        (
            pod('waiting: {reason: CreateContainerConfigError, message: secret "s" not found}'),
            "CannotStart",
            True,
            'secret "s" not found',
        ),
        (pod(), "NotAnswering", False, "GET /ok at port 80"),
        (pod(age=130), "NotAnswering", True, "GET /ok at port 80"),
        (
            pod(
                phase="Pending",
                node='""',
                conditions="{type: PodScheduled, status: 'False', message: '0/1 nodes: Insufficient cpu'}",
            ),
            "Unschedulable",
            False,
            "Insufficient cpu",
        ),
    ],
)
def test_what_is_said(made, reason: str, lasting: bool, words: str) -> None:
    found = diagnose(made, NOW)
    assert found is not None
    assert (found.reason, found.lasting) == (reason, lasting)
    assert words in found.message
    assert found.next


def test_the_probes_answer_and_the_log_are_told() -> None:
    found = diagnose(pod(), NOW, Evidence("HTTP probe failed with statuscode: 500", ("no database",)))
    assert found is not None
    assert found.message.endswith("statuscode: 500; it last wrote: no database")


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "exit code 1"), (127, "could not find its command"), (134, "signal ABRT"), (0, "ended by itself")],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert words in exit_words(code)


def test_last_lines_are_few_and_short() -> None:
    assert last_lines("a\n\n" + "b" * 500 + "\n", 5) == ("a", "b" * 200)
    assert len(last_lines("\n".join(map(str, range(100))))) == 5


# --- steps

APP = """
apiVersion: sampan.dev/v1
kind: App
metadata: {name: web, generation: 4}
spec: {source: {image: "web:2"}, replicas: 1, port: 80, host: web.localhost, volumes: [{path: /data}]}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: d, generation: 2}
spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: app, image: "web:2"}]}}}
status: {observedGeneration: OBSERVED, replicas: 1, updatedReplicas: 1}
"""
SETS = "".join(
    f"""
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-{name}
  uid: {name}
  labels: {{pod-template-hash: {name}}}
  annotations: {{deployment.kubernetes.io/revision: "{number}"}}
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d}}]
spec: {{selector: {{matchLabels: {{a: b}}}}}}
"""
    for name, number in (("old", 9), ("new", 10))
)


def old_pod():
    text = POD.replace("pod-template-hash: new", "pod-template-hash: old").replace("web-x", "web-o")
    made = text.format(
        created="2026-01-02T03:00:00Z",
        phase="Running",
        conditions=READY,
        ready="true",
        restarts=0,
        state="running: {}",
        more="",
        node="n",
    )
    return one(made)


def judged(*pods, observed: int = 2, **more):
    deployment = one(DEPLOYMENT.replace("OBSERVED", str(observed)))
    seen = steps.Seen(workload=deployment, pods=pods, replicasets=load(SETS), **more)
    return {each.type: each for each in steps.judge(one(APP), seen, NOW)}


def test_a_failed_release_says_who_still_serves() -> None:
    ready = judged(old_pod(), pod(LOOP, restarts=3, more=CRASHED))["PodsReady"]
    assert ready.reason == "ReleaseFailed"
    assert ready.message.startswith("0 of 1 pods of the new version ready; pod web-x: its container app ended with")
    assert ready.message.endswith("the version before still serves with 1 pod")


def test_before_the_workloads_controller_has_looked_nothing_has_failed() -> None:
    found = judged(old_pod(), pod(LOOP, restarts=3, more=CRASHED), observed=1)
    assert found["PodsReady"].reason == "Starting"
    assert found["ImageBuilt"].reason == "NotThereYet"


def test_an_image_that_is_nowhere_fails_the_first_step() -> None:
    found = judged(pod("waiting: {reason: ImagePullBackOff, message: not found}"))
    assert (found["ImageBuilt"].status, found["ImageBuilt"].reason) == ("False", "ImageNotFound")


def test_what_the_server_refused_is_said_at_its_step() -> None:
    found = judged(refusals={"Ingress": "host taken", "PersistentVolumeClaim": "quota"})
    assert "host taken" in found["Published"].message
    assert "quota" in found["VolumesBound"].message


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web-data}
spec: {accessModes: [ReadWriteOnce], volumeName: v, resources: {requests: {storage: 2Gi}}}
status: {phase: Bound, capacity: {storage: 1Gi}, conditions: [CONDITIONS]}
"""


def test_a_full_volume_is_said_at_its_step() -> None:
    full = one(CLAIM.replace("CONDITIONS", "{type: VolumeFull, status: 'True', message: volume data is full}"))
    found = judged(pod(conditions=READY, ready="true"), claims=(full,))["VolumesBound"]
    assert (found.status, found.reason, found.message) == ("False", "Full", "volume data is full")
    room = one(CLAIM.replace("CONDITIONS", "{type: FileSystemResizePending, status: 'True'}"))
    found = judged(pod(conditions=READY, ready="true"), claims=(room,))["VolumesBound"]
    assert found.status == "True"
    assert found.message == "1Gi (it becomes 2Gi when no pod uses it for a moment) for web-data"


def test_a_crash_for_want_of_room_says_what_to_do() -> None:
    found = diagnose(
        pod(LOOP, restarts=3, more=CRASHED), NOW, Evidence("", ("sh: write error: No space left on device",))
    )
    assert found is not None and found.next.startswith("a volume of it is full, or its node's disk: remove files, or")


def test_a_missing_app_is_named() -> None:
    assert judged(pod(), missing=("mariadb",))["PodsReady"].message.endswith("it needs mariadb, which is not there")


def test_published_by_an_ingress_controller() -> None:
    ingress = one(
        """
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: web}
        spec: {rules: [{host: web.localhost}]}
        status: {loadBalancer: {ingress: [{ip: 127.0.0.1, ports: [{port: 8080, protocol: TCP}]}]}}
        """
    )
    found = judged(ingress=ingress)["Published"]
    assert (found.status, found.message) == ("True", "http://web.localhost:8080")


def test_published_with_tls_at_the_second_port() -> None:
    ingress = one(
        """
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: web}
        spec: {rules: [{host: web.localhost}], tls: [{hosts: [web.localhost]}]}
        status: {loadBalancer: {ingress: [{ip: 127.0.0.1, ports: [{port: 8080}, {port: 8443}]}]}}
        """
    )
    assert judged(ingress=ingress)["Published"].message == "https://web.localhost:8443"
