"""P6 to P9: requests a second over TLS, writes durable."""

from __future__ import annotations

import json
from functools import partial

from benchmarks.figure import Figure
from benchmarks.lab import Lab, post, wrk

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
LISTED = "listed"
CONFIG_MAP: dict[str, object] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "NAME"},
    "data": {"a": "x" * 200},
}
POD: dict[str, object] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "NAME", "labels": {"app": "web", "tier": "front"}},
    "spec": {
        # Nobody schedules these, so that only the API server is measured.
        "schedulerName": "none",
        "containers": [
            {
                "name": "c",
                "image": "nginx:1.22",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "value": "b"}],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "64Mi"},
                    "limits": {"cpu": "200m", "memory": "128Mi"},
                },
            }
        ],
    },
}


async def ensure_namespace(place: Lab, name: str) -> None:
    async with place.client() as client:
        known = await (await client.raw("GET", "/api/v1/namespaces")).read()
        if f'"name":"{name}"'.encode() not in known:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await client.raw("POST", "/api/v1/namespaces", None, json.dumps(body).encode())


async def get(place: Lab) -> float:
    async with place.client() as client:
        page = json.loads(await (await client.raw("GET", CONFIG_MAPS)).read())
        if "got" not in [item["metadata"]["name"] for item in page["items"]]:
            body = json.dumps(CONFIG_MAP).replace("NAME", "got").encode()
            await client.raw("POST", CONFIG_MAPS, None, body)
    return await wrk(place, f"{CONFIG_MAPS}/got", connections=64)


async def create(path: str, body: dict[str, object], connections: int, place: Lab) -> float:
    return await wrk(place, path, connections=connections, script=post(path, body))


async def list_pods(place: Lab) -> float:
    await ensure_namespace(place, LISTED)
    path = f"/api/v1/namespaces/{LISTED}/pods"
    async with place.client() as client:
        have = len(json.loads(await (await client.raw("GET", path)).read())["items"])
        for number in range(have, 500):
            body = json.dumps(POD).replace("NAME", f"p-{number}").encode()
            await client.raw("POST", path, None, body)
    return await wrk(place, path, connections=8)


FIGURES = (
    Figure("P6", "GET one object, 64 connections", "requests/s", 10000, "higher", get),
    Figure(
        "P7/1",
        "create ConfigMap, 1 connection",
        "requests/s",
        1200,
        "higher",
        partial(create, CONFIG_MAPS, CONFIG_MAP, 1),
    ),
    Figure(
        "P7/64",
        "create ConfigMap, 64 connections",
        "requests/s",
        3200,
        "higher",
        partial(create, CONFIG_MAPS, CONFIG_MAP, 64),
    ),
    Figure("P8", "create Pod, 64 connections", "requests/s", 2900, "higher", partial(create, PODS, POD, 64)),
    Figure("P9", "LIST 500 pods, 8 connections", "requests/s", 450, "higher", list_pods),
)
