"""What the comparison with kubectl leaves open: verbs that wait, watch, ask or need an editor, and v1.37's words."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from sampan.api.types import core_v1
from sampan.testing.thread import ServedCluster
from tests.cli.conftest import Run

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
"""


def test_delete_says_from_where(sampan: Run, namespace: str) -> None:
    sampan("create", "cm", "a", "-n", namespace)
    assert sampan("delete", "cm", "a", "-n", namespace).out == f'configmap "a" deleted from {namespace} namespace\n'
    sampan("create", "priorityclass", f"p-{namespace}", "--value=1")
    assert sampan("delete", "priorityclass", f"p-{namespace}").out == (
        f'priorityclass.scheduling.k8s.io "p-{namespace}" deleted\n'
    )


def test_delete_waits_for_finalizers(sampan: Run, namespace: str) -> None:
    held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\n"
    assert sampan("create", "-n", namespace, "-f", "-", given=held).out == "configmap/held created\n"
    late = sampan("delete", "cm", "held", "-n", namespace, "--timeout=1s")
    assert late.err == "error: timed out waiting for the condition on configmaps/held\n"
    assert sampan("delete", "cm", "held", "-n", namespace, "--wait=false").code == 0
    patch = '{"metadata":{"finalizers":null}}'
    assert sampan("patch", "cm", "held", "-n", namespace, "--type=merge", "-p", patch).code == 0
    assert sampan("wait", "--for=delete", "cm/held", "-n", namespace).code == 0


def test_delete_asks_when_told_to(sampan: Run, namespace: str) -> None:
    sampan("create", "cm", "a", "-n", namespace)
    said = sampan("delete", "cm", "a", "-n", namespace, "-i", given="n\n")
    assert "deletion is cancelled" in said.out
    assert sampan("get", "cm", "a", "-n", namespace).code == 0
    assert sampan("delete", "cm", "a", "-n", namespace, "-i", given="y\n").code == 0
    assert sampan("get", "cm", "a", "-n", namespace).code == 1


def test_get_watches_until_it_is_told_enough(sampan: Run, namespace: str, place: ServedCluster) -> None:
    sampan("create", "cm", "a", "-n", namespace)

    def change() -> None:
        asyncio.run(asyncio.sleep(0.3))
        sampan("label", "cm", "a", "x=y", "-n", namespace)
        sampan("delete", "cm", "a", "-n", namespace)

    worker = threading.Thread(target=change)
    worker.start()
    said = sampan("get", "cm", "a", "-n", namespace, "-w", "--output-watch-events", "--request-timeout=3s", "-L", "x")
    worker.join()
    events = [line.split()[0] for line in said.out.splitlines()]
    assert events == ["EVENT", "ADDED", "MODIFIED", "DELETED"]


def test_edit_saves_what_the_editor_made(sampan: Run, namespace: str) -> None:
    sampan("create", "cm", "a", "-n", namespace, "--from-literal=k=before")
    said = sampan("edit", "cm/a", "-n", namespace, KUBE_EDITOR="sed -i s/before/after/")
    assert said.out == "configmap/a edited\n"
    assert sampan("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data.k}").out == "after"
    assert sampan("edit", "cm/a", "-n", namespace).err == "Edit cancelled, no changes made.\n"
    wrong = sampan("edit", "cm/a", "-n", namespace, KUBE_EDITOR="sed -i s/after/[/")
    assert wrong.code == 1


def test_apply_keeps_what_others_set_and_removes_what_it_said_before(sampan: Run, namespace: str) -> None:
    def apply(data: str) -> str:
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {data}\n"
        return sampan("apply", "-n", namespace, "-f", "-", given=text).out

    assert apply("{one: '1', two: '2'}") == "configmap/a created\n"
    sampan("patch", "cm", "a", "-n", namespace, "-p", '{"data":{"theirs":"3"}}')
    assert apply("{one: '1'}") == "configmap/a configured\n"
    data = sampan("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.data}").out
    assert data == '{"one":"1","theirs":"3"}'
    assert apply("{one: '1'}") == "configmap/a unchanged\n"


def test_apply_takes_over_what_was_created_otherwise(sampan: Run, namespace: str) -> None:
    sampan("create", "cm", "a", "-n", namespace, "--from-literal=k=v")
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: w}\n"
    said = sampan("apply", "-n", namespace, "-f", "-", given=text)
    assert said.out == "configmap/a configured\n"
    assert said.err.startswith("Warning: resource configmaps/a is missing the kubectl.kubernetes.io/last-applied")


def test_apply_goes_on_after_a_refusal(sampan: Run, namespace: str) -> None:
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: "
    text = f"{head}{{name: WRONG}}\n---\n{head}{{name: right}}\n"
    said = sampan("apply", "-n", namespace, "-f", "-", given=text)
    assert (said.code, said.out) == (1, "configmap/right created\n")
    assert said.err.startswith('The ConfigMap "WRONG" is invalid: metadata.name: Invalid value: "WRONG"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "error: error parsing STDIN: error converting YAML to JSON: "),
        ("[]", "error: error parsing STDIN: an object is expected"),
        ("a: 1", 'error: error validating "STDIN": error validating data: [kind not set]'),
        ("kind: A", 'error: error validating "STDIN": error validating data: [apiVersion not set]'),
        ("", "error: no objects passed to apply"),
        (
            "apiVersion: x.io/v1\nkind: Nope\nmetadata: {name: a}",
            'error: resource mapping not found for name: "a" namespace: "" from "STDIN": '
            'no matches for kind "Nope" in version "x.io/v1"\nensure CRDs are installed first',
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}",
            'error: the namespace from the provided object "other" does not match the namespace "default". '
            "You must pass '--namespace=other' to perform this operation.",
        ),
    ],
)
def test_manifests_that_cannot_be_used(sampan: Run, text: str, message: str) -> None:
    said = sampan("apply", "-n", "default", "-f", "-", given=text)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(message)


def test_directories_are_read_in_order(sampan: Run, namespace: str, tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "c.txt", "deep/d.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        stem = Path(name).stem
        (tmp_path / name).write_text(f'{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "{stem}"}}}}')
    said = sampan("create", "-n", namespace, "-f", str(tmp_path), "--dry-run=client")
    assert said.out == "configmap/a created (dry run)\nconfigmap/b created (dry run)\n"
    said = sampan("create", "-n", namespace, "-R", "-f", str(tmp_path), "--dry-run=client")
    assert "configmap/d created" in said.out


def test_rollout_follows_to_the_end(sampan: Run, namespace: str) -> None:
    sampan("apply", "-n", namespace, "-f", "-", given=DEPLOYMENT)
    said = sampan("rollout", "status", "deploy/web", "-n", namespace, "--timeout=30s")
    assert said.out.splitlines()[-1] == 'deployment "web" successfully rolled out'
    sampan("rollout", "restart", "deploy/web", "-n", namespace)
    assert sampan("rollout", "status", "deploy/web", "-n", namespace, "--timeout=30s").code == 0
    history = sampan("rollout", "history", "deploy/web", "-n", namespace).out
    assert history == "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         <none>\n2         <none>\n\n"
    assert sampan("rollout", "undo", "deploy/web", "-n", namespace).out == "deployment.apps/web rolled back\n"


def test_wait_for_what_comes_later(sampan: Run, namespace: str) -> None:
    worker = threading.Thread(target=lambda: sampan("apply", "-n", namespace, "-f", "-", given=DEPLOYMENT))
    worker.start()
    said = sampan("wait", "--for=create", "deploy/web", "-n", namespace, "--timeout=20s")
    worker.join()
    assert said.out == "deployment.apps/web condition met\n"
    said = sampan("wait", "--for=condition=Ready", "pod", "-l", "app=web", "-n", namespace, "--timeout=20s")
    assert said.code == 0 and said.out.count("condition met\n") >= 1
    late = sampan(
        "wait", "--for=jsonpath={.status.phase}=Gone", "pod", "-l", "app=web", "-n", namespace, "--timeout=1s"
    )
    assert late.code == 1
    assert late.err.startswith("error: timed out waiting for the condition on pods/web-")


def test_drain_moves_pods_away(sampan: Run, namespace: str, place: ServedCluster) -> None:
    sampan("apply", "-n", namespace, "-f", "-", given=DEPLOYMENT)
    sampan("rollout", "status", "deploy/web", "-n", namespace, "--timeout=30s")
    sampan("label", "node", "node-1", "drained=yes")
    try:
        said = sampan("drain", "node-1", "--force", "--ignore-daemonsets", "--timeout=30s", "--pod-selector=app=web")
        assert said.code == 0, said.err
        assert said.out.startswith("node/node-1 cordoned\n") and said.out.endswith("node/node-1 drained\n")
        assert sampan("cordon", "node-1").out == "node/node-1 already cordoned\n"
        sampan("rollout", "status", "deploy/web", "-n", namespace, "--timeout=30s")
        nodes = sampan(
            "get", "pods", "-n", namespace, "-o", "jsonpath={.items[?(@.status.phase=='Running')].spec.nodeName}"
        )
        assert set(nodes.out.split()) == {"node-2"}
    finally:
        assert sampan("uncordon", "-l", "drained=yes").out == "node/node-1 uncordoned\n"


def test_drain_refuses_what_nobody_makes_again(sampan: Run, namespace: str) -> None:
    spec = "{nodeName: node-2, containers: [{name: c, image: i}]}"
    pod = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: lonely}}\nspec: {spec}\n"
    sampan("create", "-n", namespace, "-f", "-", given=pod)
    try:
        said = sampan("drain", "node-2")
        assert said.code == 1
        assert (
            f"cannot delete Pods that declare no controller (use --force to override): {namespace}/lonely" in said.err
        )
    finally:
        sampan("uncordon", "node-2")


def test_replace_by_force_makes_it_anew(sampan: Run, namespace: str, place: ServedCluster) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n"
    sampan("create", "-n", namespace, "-f", "-", given=text)
    before = sampan("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.metadata.uid}").out
    assert sampan("replace", "-n", namespace, "-f", "-", given=text).out == "configmap/a replaced\n"
    assert sampan("replace", "--force", "-n", namespace, "-f", "-", given=text).code == 0
    after = sampan("get", "cm", "a", "-n", namespace, "-o", "jsonpath={.metadata.uid}").out
    assert before != after


def test_events_are_described_in_order(sampan: Run, namespace: str, place: ServedCluster) -> None:
    sampan("create", "-n", namespace, "-f", "-", given=BIG)
    place.run(place.cluster.wait_for(core_v1.Pod, "big", _told, namespace=namespace))
    said = sampan("describe", "pod", "big", "-n", namespace)
    assert "Warning  FailedScheduling" in said.out
    assert "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption" in said.out


BIG = """
apiVersion: v1
kind: Pod
metadata: {name: big}
spec: {containers: [{name: c, image: i, resources: {requests: {cpu: "1000"}}}]}
"""


def _told(pod: core_v1.Pod) -> bool:
    return any(c.type == "PodScheduled" and c.status == "False" for c in pod.status.conditions)


def test_who_may_not_is_told_so(sampan: Run) -> None:
    said = sampan("get", "pods", "--as=bob")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods" in API group "" '
        'in the namespace "default"\n'
    )


def test_kubectl_may_be_said_before_any_verb(sampan: Run) -> None:
    assert sampan("kubectl", "get", "ns", "default", "-o", "name").out == "namespace/default\n"


def test_the_server_tells_its_version(sampan: Run) -> None:
    assert sampan("version").out.startswith("Client Version: v1.37.0\nServer Version: v1.37.0")
