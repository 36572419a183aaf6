"""CustomResourceDefinitions come, change and go, and the server serves what they declare."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from sampan.apiserver.server import Config, Server
from sampan.apiserver.tokens.keys import signer
from sampan.store.memory import MemoryStore
from tests.apiserver.conftest import Api
from tests.apiserver.crds import CRDS, TABS, condition, define, definition, tab, until, version
from tests.covers import covers

NAME = "crontabs.stable.example.com"
ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@covers(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple "
    "CustomResourceDefinition creating/deleting custom resource definition objects works [Conformance]"
)
async def test_a_definition_comes_and_goes(api: Api) -> None:
    assert (await api.get(TABS)).status == 404
    made = await define(api)
    assert condition(made, "NamesAccepted") == "True" and made["status"]["storedVersions"] == ["v1"]
    assert made["status"]["acceptedNames"]["listKind"] == "CronTabList"
    assert (await api.get(TABS))["kind"] == "CronTabList"
    assert (await api.post(TABS, tab("a"))).status == 201
    gone = await api.delete(f"{CRDS}/{NAME}")
    assert gone.status == 200
    await until(api, f"{CRDS}/{NAME}", lambda answer: answer.status == 404)
    assert (await until(api, TABS, lambda answer: answer.status == 404)).message == (
        "the server could not find the requested resource"
    )
    await define(api)
    assert (await api.get(TABS))["items"] == []


async def test_the_definition_waits_for_finalizers(api: Api) -> None:
    await define(api)
    held = tab("a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.post(TABS, held)
    await api.post(TABS, tab("b"))
    assert (await api.delete(f"{CRDS}/{NAME}")).status == 200
    await until(api, f"{CRDS}/{NAME}", lambda answer: condition(answer, "Terminating") == "True")
    assert (await api.get(f"{TABS}/b")).status == 404
    assert (await api.post(TABS, tab("c"))).status == 405
    assert (await api.patch(f"{TABS}/a", {"metadata": {"finalizers": None}})).status == 200
    await until(api, f"{CRDS}/{NAME}", lambda answer: answer.status == 404)


@covers(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom "
    "resource definition resources in discovery documents [Conformance]"
)
async def test_discovery(api: Api) -> None:
    await define(api, definition(version(subresources={"status": {}, "scale": SCALE})))
    assert "stable.example.com" in [group["name"] for group in (await api.get("/apis"))["groups"]]
    listed = (await api.get("/apis/stable.example.com/v1"))["resources"]
    assert [each["name"] for each in listed] == ["crontabs", "crontabs/scale", "crontabs/status"]
    assert listed[0]["shortNames"] == ["ct"] and listed[0]["kind"] == "CronTab"
    own = (await api.get("/apis/apiextensions.k8s.io/v1"))["resources"]
    assert "customresourcedefinitions" in [each["name"] for each in own]
    aggregated = (await api.get("/apis", accept=ACCEPT))["items"]
    group = next(each for each in aggregated if each["metadata"].get("name") == "stable.example.com")
    assert group["versions"][0]["resources"][0]["resource"] == "crontabs"


SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


async def test_openapi(api: Api) -> None:
    await define(api)
    v2 = (await api.get("/openapi/v2")).json
    assert "cronSpec" in v2["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"]["properties"]
    index = (await api.get("/openapi/v3"))["paths"]
    assert "apis/stable.example.com/v1" in index
    v3 = (await api.get("/openapi/v3/apis/stable.example.com/v1")).json
    path = v3["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}"]
    assert "application/strategic-merge-patch+json" not in path["patch"]["requestBody"]["content"]
    await api.delete(f"{CRDS}/{NAME}")
    await until(api, f"{CRDS}/{NAME}", lambda answer: answer.status == 404)
    assert "com.example.stable.v1.CronTab" not in (await api.get("/openapi/v2"))["definitions"]


async def test_names_that_others_have(api: Api) -> None:
    await define(api)
    other = definition(plural="tabs", singular="tab", kind="CronTab", shortNames=["ct"])
    assert (await api.post(CRDS, other)).status == 201
    target = f"{CRDS}/tabs.stable.example.com"
    refused = await until(api, target, lambda answer: condition(answer, "NamesAccepted") == "False")
    assert condition(refused, "Established") == "False"
    reasons = {each["type"]: (each["reason"], each["message"]) for each in refused["status"]["conditions"]}
    assert reasons["NamesAccepted"][1] == '"CronTabList" is already in use'
    assert reasons["Established"] == ("NotAccepted", "not all names are accepted")
    assert (await api.get("/apis/stable.example.com/v1/namespaces/default/tabs")).status == 404
    await api.delete(f"{CRDS}/{NAME}")
    await until(api, target, lambda answer: condition(answer, "Established") == "True")


async def test_versions_without_conversion(api: Api) -> None:
    await define(api, definition(version("v1"), version("v2", storage=False)))
    await api.post(TABS, tab("a"))
    beta = TABS.replace("/v1/", "/v2/")
    assert (await api.get(f"{beta}/a"))["apiVersion"] == "stable.example.com/v2"
    assert [each["apiVersion"] for each in (await api.get(beta))["items"]] == ["stable.example.com/v2"]
    changed = await api.patch(f"{beta}/a", {"spec": {"replicas": 3}})
    assert changed["apiVersion"] == "stable.example.com/v2" and changed["metadata"]["generation"] == 2
    assert (await api.get(f"{TABS}/a"))["spec"]["replicas"] == 3
    await api.patch(f"{CRDS}/{NAME}", [{"op": "replace", "path": "/spec/versions/1/served", "value": False}], "json")
    await until(api, beta, lambda answer: answer.status == 404)


async def test_objects_of_versions_that_nobody_serves_go_with_the_definition(api: Api) -> None:
    await define(api)
    await api.post(TABS, tab("a"))
    await api.patch(f"{CRDS}/{NAME}", [{"op": "replace", "path": "/spec/versions/0/served", "value": False}], "json")
    await until(api, TABS, lambda answer: answer.status == 404)
    await api.delete(f"{CRDS}/{NAME}")
    await until(api, f"{CRDS}/{NAME}", lambda answer: answer.status == 404)
    await define(api)
    assert (await api.get(TABS))["items"] == []


async def test_a_changed_schema_holds_at_once_and_for_what_is_stored(api: Api) -> None:
    await define(api)
    await api.post(TABS, tab("a", color="red"))
    changes = [
        {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color"},
        {
            "op": "add",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size",
            "value": {"type": "integer", "default": 7},
        },
    ]
    assert (await api.patch(f"{CRDS}/{NAME}", changes, "json")).status == 200
    read = await until(api, f"{TABS}/a", lambda answer: "color" not in answer["spec"])
    assert read["spec"]["size"] == 7


@covers(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple "
    "CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works "
    "[Conformance]"
)
async def test_the_status_of_a_definition(api: Api) -> None:
    await define(api)
    read = await api.get(f"{CRDS}/{NAME}/status")
    assert condition(read, "Established") == "True"
    more = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set from a test"}
    body = {**read.json, "status": {**read["status"], "conditions": [*read["status"]["conditions"], more]}}
    put = await api.put(f"{CRDS}/{NAME}/status", body)
    assert condition(put, "StatusUpdate") == "True"
    again = {"status": {"conditions": [*put["status"]["conditions"], {**more, "type": "StatusPatched"}]}}
    assert condition(await api.patch(f"{CRDS}/{NAME}/status", again), "StatusPatched") == "True"


async def test_definitions_of_an_earlier_life_are_served_from_the_start() -> None:
    store = MemoryStore()
    key = ec.generate_private_key(ec.SECP256R1())
    first = Server(store, Config(signer(key)))
    await first.start()
    await define(Api(first))
    assert (await Api(first).post(TABS, tab("a"))).status == 201
    await first.close()
    second = Server(store, Config(signer(key)))
    await second.start()
    assert (await Api(second).get(f"{TABS}/a"))["spec"]["image"] == "app:1"
    await second.close()
    await store.close()


@covers(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple "
    "CustomResourceDefinition listing custom resource definition objects works [Conformance]"
)
async def test_definitions_are_listed_and_deleted_together(api: Api) -> None:
    for number in range(10):
        made = definition(plural=f"t{number}s", singular=f"t{number}", kind=f"T{number}", shortNames=[])
        made["metadata"]["labels"] = {"of": "test"}
        await define(api, made)
    listed = await api.get(f"{CRDS}?labelSelector=of=test")
    assert len(listed["items"]) == 10
    assert (await api.delete(f"{CRDS}?labelSelector=of=test")).status == 200
    await until(api, f"{CRDS}?labelSelector=of=test", lambda answer: answer["items"] == [])


async def definitions_of(api: Api) -> set[str]:
    found = (await api.get("/openapi/v2"))["definitions"]
    return {name for name in found if name.startswith("com.example.") and not name.endswith("List")}


@covers(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when "
    "one version gets changed to not be served [Conformance]"
)
@covers(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one "
    "version gets renamed [Conformance]"
)
async def test_openapi_follows_the_versions(api: Api) -> None:
    await define(api, definition(version("v1"), version("v2", storage=False)))
    one, two = "com.example.stable.v1.CronTab", "com.example.stable.v2.CronTab"
    assert await definitions_of(api) == {one, two}
    before = (await api.get("/openapi/v2"))["definitions"][one]
    rename = [{"op": "replace", "path": "/spec/versions/1/name", "value": "v3"}]
    await api.patch(f"{CRDS}/{NAME}", rename, "json")
    await until(api, TABS.replace("/v1/", "/v3/"), lambda answer: answer.status == 200)
    assert await definitions_of(api) == {one, "com.example.stable.v3.CronTab"}
    hide = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    await api.patch(f"{CRDS}/{NAME}", hide, "json")
    await until(api, TABS.replace("/v1/", "/v3/"), lambda answer: answer.status == 404)
    assert await definitions_of(api) == {one}
    assert (await api.get("/openapi/v2"))["definitions"][one] == before


@covers(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different "
    "groups [Conformance]"
)
@covers(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group "
    "and version but different kinds [Conformance]"
)
async def test_openapi_of_several_definitions(api: Api) -> None:
    await define(api)
    await define(api, definition(plural="tasks", singular="task", kind="Task", shortNames=[]))
    other = definition()
    other["metadata"]["name"], other["spec"]["group"] = "crontabs.other.example.com", "other.example.com"
    await define(api, other)
    wanted = {"com.example.stable.v1.CronTab", "com.example.stable.v1.Task", "com.example.other.v1.CronTab"}
    assert await definitions_of(api) == wanted


PUBLISH = "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for"


@covers(f"{PUBLISH} multiple CRDs of same group but different versions [Conformance]")
async def test_openapi_of_versions_in_one_definition_and_in_two(api: Api) -> None:
    await define(api, definition(version("v1"), version("v2", storage=False)))
    await define(api, definition(version("v4"), plural="tasks", singular="task", kind="Task", shortNames=[]))
    names = ("v1.CronTab", "v2.CronTab", "v4.Task")
    assert await definitions_of(api) == {f"com.example.stable.{name}" for name in names}
