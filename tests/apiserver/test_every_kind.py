"""The life of one object of every stored kind, by every verb that the kind has: what `kubectl` does to any of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sampan.api.kinds import ALL
from sampan.api.kinds.kind import Kind
from tests.apiserver.conftest import Answer, Api
from tests.apiserver.samples import sample
from tests.covers import covers

MACHINERY, NETWORK, NODE = "[sig-api-machinery]", "[sig-network]", "[sig-node]"
DRA = f"{NODE} [DRA] CRUD Tests resource.k8s.io/v1"
BEHAVIOURS = {
    "flowschemas": f"{MACHINERY} API priority and fairness should support FlowSchema API operations",
    "prioritylevelconfigurations": (
        f"{MACHINERY} API priority and fairness should support PriorityLevelConfiguration API operations"
    ),
    "mutatingadmissionpolicies": (
        f"{MACHINERY} MutatingAdmissionPolicy [Privileged:ClusterAdmin] "
        "should support MutatingAdmissionPolicy API operations"
    ),
    "mutatingadmissionpolicybindings": (
        f"{MACHINERY} MutatingAdmissionPolicy [Privileged:ClusterAdmin] "
        "should support MutatingAdmissionPolicyBinding API operations"
    ),
    "validatingadmissionpolicies": (
        f"{MACHINERY} ValidatingAdmissionPolicy [Privileged:ClusterAdmin] "
        "should support ValidatingAdmissionPolicy API operations"
    ),
    "validatingadmissionpolicybindings": (
        f"{MACHINERY} ValidatingAdmissionPolicy [Privileged:ClusterAdmin] "
        "should support ValidatingAdmissionPolicyBinding API operations"
    ),
    "certificatesigningrequests": (
        "[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations"
    ),
    "serviceaccounts": "[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount",
    "endpoints": f"{NETWORK} Endpoints should test the lifecycle of an Endpoint",
    "endpointslices": f"{NETWORK} EndpointSlice should support creating EndpointSlice API operations",
    "ingresses": f"{NETWORK} Ingress API should support creating Ingress API operations",
    "ingressclasses": f"{NETWORK} IngressClass API should support creating IngressClass API operations",
    "ipaddresses": f"{NETWORK} ServiceCIDR and IPAddress API should support IPAddress API operations",
    "servicecidrs": f"{NETWORK} ServiceCIDR and IPAddress API should support ServiceCIDR API operations",
    "configmaps": f"{NODE} ConfigMap should run through a ConfigMap lifecycle",
    "leases": f"{NODE} Lease lease API should be available",
    "podtemplates": f"{NODE} PodTemplates should run the lifecycle of PodTemplates",
    "runtimeclasses": f"{NODE} RuntimeClass should support RuntimeClasses API operations",
    "deviceclasses": f"{DRA} DeviceClass",
    "resourceclaims": f"{DRA} ResourceClaim",
    "resourceclaimtemplates": f"{DRA} ResourceClaimTemplate",
    "resourceslices": f"{DRA} ResourceSlice",
    "nodes": f"{NODE} Node Lifecycle should run through the lifecycle of a node",
    "limitranges": "[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection",
}
"""Conformance behaviours that are just this life of their kind."""


def stored() -> list[Any]:
    kinds = [kind for kind in ALL if kind.stored and "create" in kind.verbs and kind.group != "sampan.dev"]
    return [pytest.param(kind, id=f"{kind.resource}/{kind.version}", marks=_marks(kind)) for kind in kinds]


def _marks(kind: Kind) -> Any:
    behaviour = BEHAVIOURS.get(kind.plural)
    return [covers(f"{behaviour} [Conformance]")] if behaviour else []


class Life:
    """One object, step by step; what a watch from before its creation has seen."""

    def __init__(self, api: Api, kind: Kind) -> None:
        self.api = api
        self.kind = kind
        self.body = sample(kind.resource)
        self.name = self.body["metadata"]["name"]
        self.all = kind.path("default")
        self.one = kind.path("default", self.name)
        self.changes: list[tuple[str, str]] = []

    async def follow(self, ready: asyncio.Event) -> None:
        chosen = "?watch=true&labelSelector=sample=yes&allowWatchBookmarks=true&sendInitialEvents=true"
        response = await self.api.open("GET", f"{self.all}{chosen}&resourceVersionMatch=NotOlderThan")
        async for chunk in _chunks(response.body):
            for line in chunk.splitlines():
                event = json.loads(line)
                if event["type"] == "BOOKMARK":
                    ready.set()
                    continue
                self.changes.append((event["type"], event["object"]["metadata"]["resourceVersion"]))
                if event["type"] == "DELETED":
                    return

    async def create(self) -> Answer:
        made = await self.api.post(f"{self.all}?fieldValidation=Strict", self.body)
        assert made.status == 201, made.body
        assert (made["kind"], made["apiVersion"]) == (self.kind.name, self.kind.api_version)
        assert made["metadata"]["uid"] and made["metadata"]["creationTimestamp"]
        assert (await self.api.post(self.all, self.body))["reason"] == "AlreadyExists"
        return made

    async def read(self, made: Answer) -> None:
        assert (await self.api.get(self.one)).json == made.json
        for target in dict.fromkeys((self.all, self.kind.path())):
            found = await self.api.get(f"{target}?labelSelector=sample=yes")
            assert found["kind"] == f"{self.kind.name}List"
            assert [item["metadata"]["uid"] for item in found["items"]] == [made["metadata"]["uid"]]
        table = await self.api.get(self.one, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
        (row,) = table["rows"]
        assert len(row["cells"]) == len(table["columnDefinitions"]) and self.name in row["cells"]

    async def change(self) -> None:
        for kind in ("merge", "strategic"):
            patched = await self.api.patch(self.one, {"metadata": {"annotations": {kind: "1"}}}, kind)
            assert patched.status == 200, patched.body
            assert patched["metadata"]["annotations"][kind] == "1"
        wanted = (await self.api.get(self.one)).json
        wanted["metadata"]["annotations"]["updated"] = "1"
        updated = await self.api.put(self.one, wanted)
        assert updated.status == 200, updated.body
        assert {"merge", "strategic", "updated"} <= updated["metadata"]["annotations"].keys()
        late = await self.api.put(self.one, wanted)
        assert (late.status, late["reason"]) == (409, "Conflict")

    async def change_status(self) -> None:
        parts = {part.name for part in self.kind.subresources}
        if "status" not in parts:
            assert (await self.api.get(f"{self.one}/status")).status == 404
        for part in parts & {"status", "approval"}:
            await self.change_part(f"{self.one}/{part}")

    async def change_part(self, target: str) -> None:
        before = (await self.api.get(target)).json
        assert before == (await self.api.get(self.one)).json
        patched = await self.api.patch(target, {"metadata": {"annotations": {"status": "1"}}, "status": {}})
        assert patched.status == 200, patched.body
        wanted = patched.json
        assert (await self.api.put(target, wanted)).json == wanted, "nothing has changed"

    async def delete(self) -> None:
        gone = await self.api.delete(self.one, {"propagationPolicy": "Background", "gracePeriodSeconds": 0})
        assert gone.status == 200, gone.body
        if (await self.api.get(self.one)).status == 200:
            await self.finalize()
        assert (await self.api.get(self.one))["reason"] == "NotFound"

    async def finalize(self) -> None:
        """What controllers do in a cluster that has some."""
        ending = (await self.api.get(self.one)).json
        assert ending["metadata"]["deletionTimestamp"]
        if self.kind.resource == "namespaces":
            ending["spec"]["finalizers"] = []
            await self.api.put(f"{self.one}/finalize", ending)
        else:
            assert ending["metadata"]["finalizers"]
            await self.api.patch(self.one, {"metadata": {"finalizers": None}})

    async def delete_together(self) -> None:
        if "deletecollection" not in self.kind.verbs:
            assert (await self.api.delete(self.all)).status == 405
            return
        assert (await self.api.post(self.all, self.body)).status == 201
        gone = await self.api.delete(f"{self.all}?labelSelector=sample=yes&gracePeriodSeconds=0")
        assert gone.status == 200, gone.body
        if (await self.api.get(self.one)).status == 200:
            await self.finalize()
        assert (await self.api.get(f"{self.all}?labelSelector=sample=yes"))["items"] == []


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    async for chunk in body:
        yield chunk


@pytest.mark.parametrize("kind", stored())
async def test_the_life_of_an_object(api: Api, kind: Kind) -> None:
    life = Life(api, kind)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        following = group.create_task(life.follow(ready))
        await ready.wait()
        made = await life.create()
        await life.read(made)
        await life.change()
        await life.change_status()
        await life.delete()
        await following
    types = [type for type, _ in life.changes]
    assert types[0] == "ADDED" and types[-1] == "DELETED" and len(types) >= 5
    assert set(types[1:-1]) == {"MODIFIED"}
    versions = [int(version) for _, version in life.changes]
    assert versions == sorted(set(versions)), "in the order of the changes, each once"
    await life.delete_together()
