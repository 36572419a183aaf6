"""Whatever comes in for custom resources, the answer is the client's mistake and never the server's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.conftest import Api
from tests.apiserver.crds import CRDS, TABS, define, definition, tab, version

ODD: tuple[Any, ...] = (None, 0, 1.5, "", "x", True, [], [1], [None], {}, {"a": None}, {"": {}}, [[{}]])


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_objects(api: Api, odd: Any) -> None:
    await define(api, definition(version(subresources={"status": {}})))
    await api.post(TABS, tab("there"))
    bodies: list[Any] = [odd, {"metadata": odd, "spec": {}}, {**tab("a"), "spec": odd}, {**tab("a"), "status": odd}]
    bodies += [{**tab("a"), "apiVersion": odd}, tab("a", ports=odd), tab("a", template=odd), tab("a", labels=odd)]
    bodies += [{**tab("a"), "metadata": {"name": "a", key: odd}} for key in ("labels", "managedFields", "finalizers")]
    for body in bodies:
        made = await api.post(TABS, body)
        assert made.status in (201, 400, 422), made.body
        await api.delete(f"{TABS}/a")
        for part in ("", "/status"):
            merged = await api.patch(f"{TABS}/there{part}", body)
            assert merged.status in (200, 400, 409, 422), merged.body
            put = await api.put(f"{TABS}/there{part}", body)
            assert put.status in (200, 400, 409, 422), put.body
        wish = await api.send("PATCH", f"{TABS}/there?fieldManager=m", body, type="application/apply-patch+yaml")
        assert wish.status in (200, 201, 400, 409, 422), wish.body


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_definitions(api: Api, odd: Any) -> None:
    await define(api)
    target = f"{CRDS}/crontabs.stable.example.com"
    schemas = [odd, {"type": "object", "properties": {"a": odd}}, {"type": "object", "properties": odd}]
    for keyword in ("items", "additionalProperties", "default", "enum", "anyOf", "not", "x-kubernetes-list-map-keys"):
        for kind in ("array", "object", "string"):
            schemas.append({"type": "object", "properties": {"a": {"type": kind, keyword: odd}}})
            inner = {"type": "array", "items": {"type": kind, keyword: odd}}
            schemas.append({"type": "object", "properties": {"a": inner}})
    for number, schema in enumerate(schemas):
        wanted = {"spec": {"versions": [{**version(), "schema": {"openAPIV3Schema": schema}}]}}
        changed = await api.patch(target, wanted)
        assert changed.status in (200, 400, 422), (schema, changed.body)
        made = await api.post(TABS, {**tab("a"), "a": odd})
        assert made.status in (201, 400, 409, 422), (schema, made.body)
        if number % 11 == 0:
            assert (await api.get("/openapi/v2")).status == 200
    for key in ("subresources", "additionalPrinterColumns", "selectableFields", "names"):
        changed = await api.patch(target, {"spec": {key: odd, "versions": [{**version(), key: odd}]}})
        assert changed.status in (200, 400, 422), (key, changed.body)
    assert (await api.get(target)).status == 200
