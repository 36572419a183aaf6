"""PipelineRun as a kind: what it may say, what it leaves open, what of it is fixed, how it is shown."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun, PipelineRunSpec, PipelineRunStatus, RunSource, RunTrigger
from sampan.api.extra.sampan_v1 import App, AppGit, AppSource, AppSpec
from sampan.api.types import meta_v1, rbac_v1
from sampan.api.user import User
from sampan.testing.cluster import Cluster

pytestmark = pytest.mark.cluster(nodes=0, controllers=())

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def run(**spec: Any) -> PipelineRun:
    given = {"app": "web", "source": RunSource(ref="refs/heads/main", commit=COMMIT)} | spec
    return PipelineRun(
        metadata=meta_v1.ObjectMeta(generateName="web-", namespace="default"), spec=PipelineRunSpec(**given)
    )


async def test_a_new_run_waits(cluster: Cluster) -> None:
    made = await cluster.client.create(run())
    assert made.status.phase == "Pending"
    assert made.spec.trigger.kind == "manual"
    assert made.metadata.labels == {"sampan.dev/app": "web"}
    assert (made.metadata.name or "").startswith("web-")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"app": ""}, "spec.app: Required value: the app whose pipeline runs"),
        ({"app": "Web"}, "spec.app: Invalid value"),
        ({"source": RunSource(ref="refs/heads/main", commit="abc")}, "must be a commit's full name"),
        ({"source": RunSource(ref="main", commit=COMMIT)}, "must be refs/heads/BRANCH or refs/tags/TAG"),
        ({"source": RunSource(ref="refs/heads/../x", commit=COMMIT)}, "must be refs/heads/BRANCH or refs/tags/TAG"),
        ({"source": RunSource(url="ext::sh -c id", ref="refs/heads/main", commit=COMMIT)}, "must begin with one of"),
        ({"source": RunSource(ref="refs/heads/main"), "trigger": RunTrigger(kind="push")}, "spec.source.commit: Req"),
        ({"trigger": RunTrigger(kind="cron")}, 'supported values: "manual", "push", "webhook"'),
        ({"parameters": {"a b": "c"}}, "spec.parameters"),
        ({"parameters": {"A": "x" * 5000}}, "no more than 4096 letters"),
    ],
)
async def test_what_a_run_may_not_say(cluster: Cluster, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(StatusError) as refused:
        await cluster.client.create(run(**spec))
    assert refused.value.code == 422
    assert words in str(refused.value)


SECRET_URLS = (
    *("https://ann:t0ken@forge.example/a.git", "https://t0ken@forge.example/a.git"),
    *("ssh://git:t0ken@forge.example/a.git", "https://forge.example/a b.git", "https://[::1/a.git"),
)


@pytest.mark.parametrize("url", SECRET_URLS)
async def test_an_address_holds_no_keys(cluster: Cluster, url: str) -> None:
    """Who may read runs and apps is not always who may read Secrets."""
    with pytest.raises(StatusError, match="spec.source.url: Invalid value") as refused:
        await cluster.client.create(run(source=RunSource(url=url, ref="refs/heads/main", commit=COMMIT)))
    assert "t0ken" not in str(refused.value)
    app = App(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default"),
        spec=AppSpec(source=AppSource(git=AppGit(url=url), image="web:1")),
    )
    with pytest.raises(StatusError, match="spec.source.git.url: Invalid value") as refused:
        await cluster.client.create(app)
    assert "t0ken" not in str(refused.value)


async def test_nobody_writes_a_status_but_where_it_is_written(cluster: Cluster) -> None:
    forged = msgspec.structs.replace(run(), status=PipelineRunStatus(phase="Succeeded", number=7, node="there"))
    made = await cluster.client.create(forged)
    assert made.status == PipelineRunStatus(phase="Pending")
    body = {"status": {"phase": "Succeeded"}, "spec": {"abort": True}}
    patched = await cluster.client.patch(PipelineRun, made.metadata.name or "", "default", body=body)
    assert (patched.status, patched.spec.abort) == (made.status, True)


async def test_who_started_a_run_is_no_claim(cluster: Cluster) -> None:
    subject = rbac_v1.Subject(kind="User", name="eve", apiGroup="rbac.authorization.k8s.io")
    ref = rbac_v1.RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="edit")
    binding = rbac_v1.RoleBinding(
        metadata=meta_v1.ObjectMeta(name="eve", namespace="default"), subjects=(subject,), roleRef=ref
    )
    await cluster.client.create(binding)
    said = RunTrigger(kind="manual", by="ann", message="I did it")
    eve = cluster.client_as(User("eve", groups=("system:authenticated",)))
    made = await eve.create(run(trigger=said))
    assert made.spec.trigger == RunTrigger(kind="manual", by="eve", message="I did it")
    body = {"status": {"phase": "Succeeded"}}
    with pytest.raises(StatusError, match="cannot patch resource"):
        await eve.patch(PipelineRun, made.metadata.name or "", "default", body=body, subresource="status")
    receiver = cluster.client_as(User("system:sampan:git", groups=("system:authenticated",)))
    assert (await receiver.create(run(trigger=said))).spec.trigger == said


async def test_names_are_short_enough_for_those_of_pods(cluster: Cluster) -> None:
    made = run()
    named = msgspec.structs.replace(made, metadata=meta_v1.ObjectMeta(name="x" * 61, namespace="default"))
    with pytest.raises(StatusError, match="no more than 60 characters"):
        await cluster.client.create(named)


async def test_by_hand_the_commit_may_stay_open(cluster: Cluster) -> None:
    await cluster.client.create(run(source=RunSource(ref="refs/heads/main")))


async def test_the_spec_is_fixed_except_for_abort(cluster: Cluster) -> None:
    made = await cluster.client.create(run())
    name = made.metadata.name or ""
    with pytest.raises(StatusError, match="fixed once the run is made"):
        await cluster.client.patch(PipelineRun, name, "default", body={"spec": {"app": "other"}})
    asked = await cluster.client.patch(PipelineRun, name, "default", body={"spec": {"abort": True}})
    assert asked.spec.abort
    with pytest.raises(StatusError, match="cannot be taken back"):
        await cluster.client.patch(PipelineRun, name, "default", body={"spec": {"abort": None}})


async def test_the_table(cluster: Cluster) -> None:
    made = await cluster.client.create(run())
    stages = [{"name": "Test", "phase": "Succeeded"}, {"name": "Build", "phase": "Running"}]
    body = {"status": {"phase": "Running", "number": 3, "stages": stages}}
    await cluster.client.patch(PipelineRun, made.metadata.name or "", "default", body=body, subresource="status")
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    path = "/apis/sampan.dev/v1/namespaces/default/pipelineruns"
    response = await cluster.client.raw("GET", path, {"fieldSelector": "spec.app=web"}, headers=accept)
    table = json.loads(await response.read())
    assert [column["name"] for column in table["columnDefinitions"] if not column["priority"]] == [
        *("Name", "App", "Number", "Branch", "Commit", "Phase", "Stage", "Age")
    ]
    assert table["rows"][0]["cells"][1:7] == ["web", 3, "main", "01234567", "Running", "Build"]
