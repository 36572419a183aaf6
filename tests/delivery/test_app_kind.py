"""The kind App: what it may say, what it leaves open, who may write it."""

from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import meta_v1, rbac_v1
from sampan.api.user import User
from sampan.testing.cluster import Cluster

pytestmark = pytest.mark.cluster(nodes=0, controllers=())

HEAD = "apiVersion: sampan.dev/v1\nkind: App\nmetadata: {name: web}\nspec:\n  "


async def test_defaults(cluster: Cluster) -> None:
    (app,) = await cluster.apply(HEAD + "source: {image: web}\n  port: 80\n  volumes: [{path: /var/lib/Data}]")
    assert (app.spec.type, app.spec.replicas) == ("stateless", None)
    assert (app.spec.volumes[0].name, app.spec.volumes[0].size) == ("var-lib-data", "1Gi")


async def test_an_app_is_scaled_by_a_later_manifest(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web}\n  port: 80")
    (app,) = await cluster.apply(HEAD + "source: {image: web}\n  port: 80\n  scale: {max: 3}")
    assert app.spec.scale.max == 3


async def test_a_scaled_app_has_no_replicas(cluster: Cluster) -> None:
    (app,) = await cluster.apply(HEAD + "source: {image: web}\n  scale: {max: 5}")
    assert (app.spec.replicas, app.spec.scale.min, app.spec.scale.cpu) == (None, 1, "80%")


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ("type: stateless", "spec.source", "path (a folder), git (url, ref) or image"),
        ("source: {path: ., git: {url: x}}", "spec.source.git", "together with path"),
        ("source: {git: {}}", "spec.source.git.url", "address"),
        ("source: {image: 'a b'}", "spec.source.image", "without spaces"),
        ("source: {image: a}\n  type: lambda", "spec.type", '"stateless"'),
        ("source: {image: a}\n  type: daemon\n  replicas: 2", "spec.replicas", "once on every node"),
        ("source: {image: a}\n  replicas: -1", "spec.replicas", "greater than or equal to 0"),
        ("source: {image: a}\n  replicas: 1\n  scale: {max: 2}", "spec.replicas", "together with scale"),
        ("source: {image: a}\n  scale: {min: 3, max: 2}", "spec.scale.max", "less than min, 3"),
        ("source: {image: a}\n  scale: {max: 2, cpu: lots}", "spec.scale.cpu", "such as 70%"),
        ("source: {image: a}\n  type: batch\n  scale: {max: 2}", "spec.scale", "only stateless and stateful"),
        ("source: {image: a}\n  instrument: ruby", "spec.instrument", '"python"'),
        ("source: {image: a}\n  port: 99999", "spec.port", "between 1 and 65535"),
        ("source: {image: a}\n  type: batch\n  port: 80", "spec.port", "serves nobody"),
        ("source: {image: a}\n  host: web.localhost", "spec.port", "must listen"),
        ("source: {image: a}\n  port: 80\n  host: Web_1", "spec.host", "RFC 1123"),
        ("source: {image: a}\n  port: 80\n  health: ok", "spec.health", "/healthz"),
        ("source: {image: a}\n  env: {'A=B': x}", "spec.env", "environment variable"),
        ("source: {image: a}\n  env: {A: x}\n  secrets: [A]", "spec.secrets[0]", "made up"),
        ("source: {image: a}\n  volumes: [{path: data}]", "spec.volumes[0].path", "absolute path"),
        ("source: {image: a}\n  volumes: [{path: /a}, {path: /a}]", "spec.volumes[1].path", "Duplicate"),
        ("source: {image: a}\n  volumes: [{path: /a, size: '0'}]", "spec.volumes[0].size", "more than 0"),
        ("source: {image: a}\n  needs: [{app: db}]", "spec.needs[0].name", "DB_HOST"),
        ("source: {image: a}\n  needs: [{name: db, app: web}]", "spec.needs[0].app", "itself"),
        ("source: {image: a}\n  type: cron", "spec.schedule", "five fields"),
        ("source: {image: a}\n  type: cron\n  schedule: often", "spec.schedule", "5 fields"),
        ("source: {image: a}\n  schedule: '@daily'", "spec.schedule", "this one is stateless"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field(cluster: Cluster, spec: str, field: str, words: str) -> None:
    with pytest.raises(StatusError) as refused:
        await cluster.apply(HEAD + spec)
    assert refused.value.code == 422
    causes = {cause.field_: cause.message for cause in refused.value.status.details.causes}
    assert words in causes[field]


async def test_a_stateful_app_stays_one(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: a}\n  type: stateful")
    with pytest.raises(StatusError, match="may not change from stateful"):
        await cluster.apply(HEAD + "source: {image: a}\n  type: stateless")


async def test_volumes_of_a_stateful_app_may_grow(cluster: Cluster) -> None:
    spec = "source: {{image: a}}\n  type: stateful\n  volumes: [{{path: /data, size: {size}}}]"
    await cluster.apply(HEAD + spec.format(size="1Gi"))
    await cluster.apply(HEAD + spec.format(size="2Gi"))
    for other in (spec.format(size="1Gi"), spec.format(size="2Gi").replace("/data", "/other")):
        with pytest.raises(StatusError, match="volumes of a stateful app may become larger and no more"):
            await cluster.apply(HEAD + other)


async def test_its_name_is_a_services_name(cluster: Cluster) -> None:
    with pytest.raises(StatusError, match="DNS-1035"):
        await cluster.apply(HEAD.replace("web", "1web") + "source: {image: a}")


async def test_status_is_its_controllers(cluster: Cluster) -> None:
    (app,) = await cluster.apply(HEAD + "source: {image: a}\nstatus: {url: http://nowhere}")
    assert app.status.url is None


@pytest.mark.parametrize(
    ("role", "writes", "reads"), [("edit", True, True), ("admin", True, True), ("view", False, True)]
)
async def test_roles_aggregate(cluster: Cluster, role: str, writes: int, reads: int) -> None:
    binding = rbac_v1.RoleBinding(
        metadata=meta_v1.ObjectMeta(name="x", namespace="default"),
        roleRef=rbac_v1.RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=role),
        subjects=(rbac_v1.Subject(kind="User", name="ann", apiGroup="rbac.authorization.k8s.io"),),
    )
    await cluster.client.create(binding)
    await cluster.apply(HEAD + "source: {image: a}")
    ann = cluster.client_as(User("ann", groups=("system:authenticated",)))
    assert bool((await ann.list(App, "default")).items) == bool(reads)
    change = ann.patch(App, "web", "default", body={"spec": {"port": 80}})
    if writes:
        assert (await change).spec.port == 80
    else:
        with pytest.raises(StatusError, match="cannot patch"):
            await change


async def test_the_table(cluster: Cluster) -> None:
    await cluster.apply(HEAD + "source: {image: web:1}")
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    response = await cluster.client.raw("GET", "/apis/sampan.dev/v1/namespaces/default/apps", headers=accept)
    import json

    table = json.loads(await response.read())
    assert [column["name"] for column in table["columnDefinitions"] if not column["priority"]] == [
        *("Name", "Type", "Image", "Ready", "URL", "Age")
    ]
    assert table["rows"][0]["cells"][:3] == ["web", "stateless", "web:1"]


def test_every_field_is_explained() -> None:
    from sampan.api.extra.schema import RUN_WORDS, WORDS, schemas

    def fields(schema: dict, path: str = "") -> list[str]:
        inner = schema.get("items", schema)
        found = []
        for name, member in inner.get("properties", {}).items():
            found += [f"{path}{name}", *fields(member, f"{path}{name}.")]
        return found

    foreign = ("spec.resources.", "status.conditions.")
    for kind, words in (("App", WORDS), ("PipelineRun", RUN_WORDS)):
        told = [path for path in fields(schemas()["sampan.dev", "v1", kind]) if not path.startswith(foreign)]
        assert set(told) == words.keys() - {""}
