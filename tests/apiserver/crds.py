"""Definitions for tests of custom resources, and how to wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.apiserver.conftest import Answer, Api

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"

SPEC = {
    "type": "object",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
        "image": {"type": "string", "default": "app:1", "maxLength": 20},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "port": {"type": "integer", "default": 80}},
            },
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "limit": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "nothing": {"type": "string", "nullable": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}
STATUS = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "selector": {"type": "string"},
        "conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    },
}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def definition(*versions: dict[str, Any], **names: Any) -> dict[str, Any]:
    all_names = {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"], **names}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{all_names['plural']}.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": all_names,
            "versions": list(versions) or [version(subresources={"status": {}})],
        },
    }


def tab(name: str = "a", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5", **spec},
    }


def condition(answer: Answer, type: str) -> str:
    found = (answer.json.get("status") or {}).get("conditions") or ()
    return next((each["status"] for each in found if each["type"] == type), "")


async def until(api: Api, target: str, good: Any) -> Answer:
    """The answer to a GET as soon as `good` likes it."""
    async with asyncio.timeout(10):
        while True:
            answer = await api.get(target)
            if good(answer):
                return answer
            await asyncio.sleep(0.005)


async def define(api: Api, made: dict[str, Any] | None = None) -> Answer:
    """Create a definition and wait until it is established."""
    made = made or definition()
    answer = await api.post(CRDS, made)
    assert answer.status == 201, answer.body
    target = f"{CRDS}/{made['metadata']['name']}"
    return await until(api, target, lambda answer: condition(answer, "Established") == "True")
