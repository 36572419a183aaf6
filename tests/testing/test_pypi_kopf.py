"""A small operator made with kopf: for every ConfigMap labelled `copy: me` there is a second one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml

from sampan import pki
from sampan.api.errors import StatusError
from sampan.api.types import admissionregistration_v1, core_v1
from sampan.testing.cluster import Cluster

SOURCE = "{apiVersion: v1, kind: ConfigMap, metadata: {name: source, labels: {copy: me}}, data: {x: '1'}}"


def base(cluster: Cluster) -> kopf.OperatorRegistry:
    """What any operator begins with: the way to the cluster."""
    registry = kopf.OperatorRegistry()
    content = yaml.safe_load(cluster.kubeconfig.read_text())

    @kopf.on.login(registry=registry)  # type: ignore[arg-type]
    def login(**_: Any) -> kopf.ConnectionInfo:
        server, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        return kopf.ConnectionInfo(
            server=server["server"],
            ca_data=server["certificate-authority-data"],
            certificate_data=user["client-certificate-data"],
            private_key_data=user["client-key-data"],
        )

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = False

    return registry


def operator(cluster: Cluster) -> kopf.OperatorRegistry:
    registry = base(cluster)

    @kopf.on.create("configmaps", labels={"copy": "me"}, registry=registry)
    @kopf.on.update("configmaps", labels={"copy": "me"}, registry=registry)
    async def copy(name: str, namespace: str, body: Any, **_: Any) -> None:
        data = {**body.get("data", {}), "copied": "true"}
        text = yaml.safe_dump(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-copy"}, "data": data}
        )
        await cluster.apply(text, namespace=namespace)

    @kopf.on.delete("configmaps", labels={"copy": "me"}, registry=registry)
    async def drop(name: str, namespace: str, **_: Any) -> None:
        await cluster.client.delete(core_v1.ConfigMap, f"{name}-copy", namespace)

    return registry


def gatekeeper(cluster: Cluster, place: Path) -> kopf.OperatorRegistry:
    """An operator whose handlers are webhooks; kopf writes their configurations and serves them."""
    registry = base(cluster)
    certificate, key = pki.Authority(place).ensure(pki.Identity("hooks", "hooks", (), ("127.0.0.1",)))

    @kopf.on.startup(registry=registry)
    def serve(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.admission.managed = "auto.kopf.dev"
        settings.admission.server = kopf.WebhookServer(
            addr="127.0.0.1", port=0, host="127.0.0.1", certfile=certificate, pkeyfile=key, cafile=place / "ca.crt"
        )

    @kopf.on.mutate("configmaps", registry=registry)
    def owned(patch: kopf.Patch, spec: Any, body: Any, **_: Any) -> None:
        if "owner" not in body.get("data", {}):
            patch.setdefault("data", {})["owner"] = "nobody"

    @kopf.on.validate("configmaps", operations=["CREATE", "UPDATE"], registry=registry)
    def judge(body: Any, warnings: list[str], **_: Any) -> None:
        warnings.append("somebody looked")
        if body.get("data", {}).get("x") == "13":
            raise kopf.AdmissionError("13 brings bad luck", code=418)

    return registry


@contextlib.asynccontextmanager
async def running(registry: kopf.OperatorRegistry) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(
        kopf.operator(registry=registry, namespaces=["default"], stop_flag=stop, standalone=True)
    )
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


@pytest.mark.filterwarnings("ignore")
async def test_an_operator_reconciles(cluster: Cluster) -> None:
    async with running(operator(cluster)):
        await cluster.apply(SOURCE)
        made = await cluster.wait_for(core_v1.ConfigMap, "source-copy", timeout=30)
        assert made.data == {"x": "1", "copied": "true"}
        source = await cluster.wait_for(core_v1.ConfigMap, "source", lambda each: each.metadata.finalizers)
        assert source.metadata.finalizers == ("kopf.zalando.org/KopfFinalizerMarker",)
        await cluster.client.patch(core_v1.ConfigMap, "source", "default", body={"data": {"x": "2"}})
        await cluster.wait_for(core_v1.ConfigMap, "source-copy", lambda each: each.data["x"] == "2", timeout=30)
        await cluster.client.delete(core_v1.ConfigMap, "source", "default")
        await cluster.wait_gone(core_v1.ConfigMap, "source-copy", timeout=30)
        await cluster.wait_gone(core_v1.ConfigMap, "source", timeout=30)


def served(configuration: Any) -> bool:
    return bool(configuration.webhooks and configuration.webhooks[0].clientConfig.url)


@pytest.mark.filterwarnings("ignore")
async def test_an_operator_judges_and_changes_what_is_written(cluster: Cluster, tmp_path: Path) -> None:
    async with running(gatekeeper(cluster, tmp_path)):
        for kind in (
            admissionregistration_v1.MutatingWebhookConfiguration,
            admissionregistration_v1.ValidatingWebhookConfiguration,
        ):
            await cluster.wait_for(kind, "auto.kopf.dev", served, timeout=30)
        (made,) = await cluster.apply(SOURCE)
        assert made.data == {"x": "1", "owner": "nobody"}
        with pytest.raises(
            StatusError, match='admission webhook ".*" denied the request: 13 brings bad luck'
        ) as refused:
            await cluster.client.patch(core_v1.ConfigMap, "source", "default", body={"data": {"x": "13"}})
        assert refused.value.code == 418
        kept = await cluster.client.get(core_v1.ConfigMap, "source", "default")
        assert kept.data == made.data
