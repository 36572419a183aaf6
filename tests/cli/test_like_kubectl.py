"""Word for word: the stock kubectl and ours, side by side on one cluster."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sampan.api.types import apps_v1
from sampan.testing.thread import ServedCluster
from tests.cli.conftest import Run, Said, settled

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: nginx:1
        resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}
        env: [{name: A, value: b}, {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {path: /, port: 80}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {note: hi}}
data: {a: "1", yes: "no", time: "2026-01-01", "long.txt": "line one\\nline two\\n"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: single}
data: {"long.txt": "line one\\nline two\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
data: {password: c2VjcmV0}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - host: a.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"""


@pytest.fixture(scope="module")
def looked_at(place: ServedCluster) -> ServedCluster:
    """Objects in the namespace default that no test changes."""
    place.run(place.cluster.apply(MANIFEST))
    place.run(place.cluster.wait_for(apps_v1.Deployment, "web", _ready))
    return place


def _ready(deployment: object) -> bool:
    return deployment.status.availableReplicas == 3  # type: ignore[attr-defined]


def same(one: Said, other: Said) -> None:
    assert settled(other.out) == settled(one.out)
    assert settled(other.err) == settled(one.err)
    assert other.code == one.code


GET = [
    "get pods",
    "get pods -o wide",
    "get all",
    "get pods,svc -A",
    "get pods --show-labels",
    "get pods -L app",
    "get pods --no-headers",
    "get pod nope",
    "get nopes",
    "get pods -l app=none",
    "get pods -n nowhere",
    "get pods web extra",
    "get ns",
    "get nodes -o wide",
    "get deploy web -o yaml",
    "get deploy web -o json",
    "get cm settings -o yaml",
    "get cm,secret -o yaml",
    "get pods -o name",
    "get deploy,svc -o name",
    "get deploy/web svc/web",
    "get deploy web -o 'jsonpath={.spec.template.spec.containers[*].env[?(@.name==\"A\")].value}'",
    "get deploy web -o jsonpath={.metadata.labels}{.spec.nope}",
    "get cm settings -o \"jsonpath={.data.long\\\\.txt}{.data['a','yes']}\"",
    "get pods -o 'jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{end}'",
    "get pods -o jsonpath={.items[0:2].kind}{.items[-1:].kind}{..image}",
    "get pods -o jsonpath-as-json={.items[*].spec.containers[0].name}",
    "get pods -o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image,NONE:.metadata.nope",
    "get pods --sort-by=.metadata.name -o name",
    "get pods --sort-by={.spec.nodeName} --no-headers",
    "get deploy web -o 'go-template={{.kind}}{{range .spec.template.spec.containers}}{{.image | printf `%q`}}{{end}}'",
    "get cm settings -o 'go-template={{range $k, $v := .data}}{{$k}}={{len $v}};{{end}}{{if .nope}}x{{else}}y{{end}}'",
    "get secret hidden -o 'go-template={{.data.password | base64decode}}{{.nope}}{{index .data `password`}}'",
    "get pods -o 'go-template={{range .items}}{{- with .spec}} {{.nodeName | len}} {{end -}}{{end}}'",
    "get deploy web -o go-template={{.spec.template.metadata}}{{.spec.nope.nope}}",
    "get deploy web -o go-template={{nonsense}}",
    "get pods -o nonsense",
    "get pods --chunk-size=1",
    "get ingress,pvc,cronjob",
    "get deploy web --subresource=status -o name",
    "get --raw /api",
]


@pytest.mark.parametrize("line", GET)
def test_get(looked_at: ServedCluster, sampan: Run, kubectl: Run, line: str) -> None:
    same(kubectl(*shlex.split(line)), sampan(*shlex.split(line)))


LOOK = [
    "describe deploy web",
    "describe rs",
    "describe svc web",
    "describe node node-1",
    "describe cm single",
    "describe secret hidden",
    "describe ns default",
    "describe sa default",
    "describe cronjob nightly",
    "describe pvc disk",
    "describe ingress web",
    "describe endpointslice",
    "describe clusterrole",
    "describe clusterrolebinding cluster-admin",
    "describe role -A",
    "describe lease -n kube-node-lease node-1",
    "describe pc",
    "describe nope x",
    "describe deploy nope",
    "describe quota",
    "explain pods",
    "explain pod.spec.containers.resources",
    "explain deploy.spec.replicas",
    "explain pod.spec.nope",
    "explain deployments.apps.spec --recursive",
    "api-resources",
    "api-resources -o wide",
    "api-resources --namespaced=false -o name",
    "api-resources --api-group=apps --no-headers",
    "auth can-i create pods",
    "auth can-i create pods --as=bob",
    "auth can-i get pods --subresource=log --as=system:node:node-1",
    "auth whoami",
    "config get-contexts",
    "config current-context",
    "config get-clusters",
    "rollout status deploy/web",
    "rollout history deploy/web",
    "rollout history deploy/web --revision=1",
    "rollout history deploy/web --revision=7",
    "wait --for=condition=Available deploy/web",
    "wait --for=condition=Nonsense deploy/web --timeout=0s",
    "wait --for=jsonpath={.spec.replicas}=3 deploy/web",
    "wait --for=delete pod/none",
    "wait --for=condition=Ready pod -l a=none",
    "wait --for=nonsense pod/x",
    "logs nope",
    "logs",
    "exec nope -- ls",
    "exec web",
    "create deployment four --image=a --image=b --dry-run=client -o name",
    "apply -f /nonexistent/x.yaml",
    "apply",
    "delete cm",
    "delete cm nope",
    "delete cm nope --ignore-not-found",
    "label cm settings",
    "label cm settings --list",
    "annotate cm settings note=other",
    "scale cm settings --replicas=2",
    "scale deploy web --replicas=9 --current-replicas=8",
    "taint nodes node-1",
    "taint nodes node-1 a=b:Nonsense",
    "taint nodes node-1 nope-",
    "taint nodes node-1 a=b:PreferNoSchedule --dry-run=client",
    "api-versions",
    "events -n kube-public",
    "events --for=deploy/web",
]


@pytest.mark.parametrize("line", LOOK)
def test_look(looked_at: ServedCluster, sampan: Run, kubectl: Run, line: str) -> None:
    same(kubectl(*line.split(" ")), sampan(*line.split(" ")))


def test_a_pod_is_described_alike(looked_at: ServedCluster, sampan: Run, kubectl: Run) -> None:
    """Newer kubectls say `Optional` where older ones say `ConfigMapOptional`."""
    theirs, ours = (run("describe", "pods", "-l", "app=web").out for run in (kubectl, sampan))
    theirs = theirs.replace("ConfigMapOptional:       <nil>", "Optional:                false")
    assert settled(ours) == settled(theirs)


STEPS = [
    "apply -f {file} --dry-run=client",
    "apply -f {file} --dry-run=server",
    "apply -f {file}",
    "apply -f {file}",
    "apply -f {next}",
    "get cm one -o jsonpath={{.data}}{{.metadata.labels}}{{.metadata.annotations}}",
    "create -f {file}",
    "create deployment three --image=nginx --replicas=2",
    "create deployment three --image=nginx",
    "create cm x --from-literal=a=b --from-file={file}",
    "get cm x -o jsonpath={{.data}}",
    "create secret generic s --from-literal=p=q",
    "create service clusterip web --tcp=80:8080",
    "create job j --image=busybox -- sleep 5",
    "create sa acc",
    "create role r --verb=get,list --resource=pods,deployments.apps",
    "create rolebinding rb --role=r --user=bob --serviceaccount=a:b",
    "create quota q --hard=pods=30",
    "create ingress i --rule=a.com/*=svc:80,tls=sec --class=x --dry-run=client -o name",
    "create pdb p --selector=a=b --min-available=50%",
    "get role,rolebinding,ingress,pdb,quota -o jsonpath={{.items[*].spec}}{{.items[*].rules}}{{.items[*].subjects}}",
    "label cm one a=b",
    "label cm one a=c",
    "label cm one a=c --overwrite",
    "label cm one a=c --overwrite",
    "label cm one a-",
    "annotate cm one n=some",
    "annotate cm one n=other --overwrite",
    "annotate cm one n-",
    "scale deploy two --replicas=3",
    "rollout status deploy/two",
    "rollout restart deploy/two",
    "rollout pause deploy/two",
    "rollout pause deploy/two",
    "rollout restart deploy/two",
    "rollout resume deploy/two",
    "rollout status deploy/two",
    "rollout undo deploy/two",
    "rollout undo deploy/two --to-revision=9",
    'patch cm one -p {{"data":{{"a":"z"}}}}',
    'patch cm one -p {{"data":{{"a":"z"}}}}',
    'patch cm one --type=json -p [{{"op":"remove","path":"/data/nope"}}]',
    'patch deploy two --type=merge -p {{"spec":{{"replicas":-1}}}}',
    'patch deploy two -p {{"spec":{{"template":{{"spec":{{"containers":[{{"name":"c","image":""}}]}}}}}}}}',
    "run one --image=nginx --port=80 --env=A=b --labels=x=y",
    "run one --image=nginx",
    "run --image=nginx",
    "get pod one -o jsonpath={{.spec.containers[0].image}}{{.spec.containers[0].env}}{{.metadata.labels}}",
    "expose deploy two --port=80 --target-port=8080",
    "expose deploy two --port=80",
    "expose pod one --name=front --type=NodePort",
    "expose cm one --port=80",
    "get svc two -o jsonpath={{.spec.selector}}{{.spec.ports}}",
    "set image deploy/two c=new:2",
    "set image deploy/two c=new:2",
    "set image deploy/two nope=x",
    "set env deploy/two A=b",
    "set env deploy/two --list",
    "set env deploy/two A-",
    "set resources deploy two --requests=cpu=10m --limits=memory=64Mi",
    "get deploy two -o jsonpath={{.spec.template.spec.containers}}",
    "autoscale deploy two --max=3 --cpu-percent=80 --min=2",
    "autoscale deploy two --max=0",
    "get hpa two -o jsonpath={{.spec.maxReplicas}}",
    "replace -f {file}",
    "delete -f {file} -o name",
    "delete -f {file} --ignore-not-found",
]


def test_changes(sampan: Run, kubectl: Run, tmp_path: Path) -> None:
    """The same steps in two namespaces of names of one length."""
    deployment = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: two}
spec:
  selector: {matchLabels: {a: two}}
  template: {metadata: {labels: {a: two}}, spec: {containers: [{name: c, image: i}]}}
"""
    one = (
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, labels: {t: "1"}}\ndata: {a: b, c: d}\n---' + deployment
    )
    other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: x}\n---" + deployment
    (tmp_path / "file.yaml").write_text(one)
    (tmp_path / "next.yaml").write_text(other)
    names = {"file": str(tmp_path / "file.yaml"), "next": str(tmp_path / "next.yaml")}
    sampan("create", "ns", "kkk")
    sampan("create", "ns", "sss")
    for step in STEPS:
        words = step.format(**names).split(" ")
        theirs = kubectl("-n", "kkk", *words)
        ours = sampan("-n", "sss", *words)
        told = [(settled(s.out), settled(s.err), s.code) for s in (theirs, ours)]
        assert tuple(str(part).replace("sss", "kkk") for part in told[1]) == tuple(map(str, told[0])), step
    sampan("delete", "ns", "kkk", "sss", "--wait=false")
