"""The way to a webhook that is given by its Service: an endpoint, and a certificate for the Service's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.api.types import admissionregistration_v1 as v1
from sampan.apiserver.admission.webhooks.caller import Caller, CallFailed
from tests.apiserver.hooks import SERVICE_HOST, Hooks
from tests.apiserver_security.memory import Memory, make

REVIEW: dict[str, Any] = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1"}}


def view(hooks: Hooks, *, name: str = "hooks", ready: bool = True) -> Memory:
    """A Service whose endpoint is the test's own server."""
    piece = make("EndpointSlice", f"{name}-1", "default", api="discovery.k8s.io/v1")
    piece["metadata"]["labels"] = {"kubernetes.io/service-name": name}
    piece |= {
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": hooks.port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
    }
    ports = [{"name": "https", "port": 443}]
    return Memory(make("Service", name, "default", api="v1", spec={"ports": ports}), piece)


def client(hooks: Hooks, **service: Any) -> v1.WebhookClientConfig:
    found = v1.ServiceReference(**{"name": "hooks", "namespace": "default", "path": "/allow", **service})
    return v1.WebhookClientConfig(service=found, caBundle=hooks.bundle)


async def test_an_endpoint_answers_in_the_services_name(hooks: Hooks) -> None:
    caller = Caller(view(hooks))
    for _ in range(2):
        body = json.loads(await caller.call(client(hooks), REVIEW, 5))
        assert body["response"] == {"uid": "1", "allowed": True}
    assert hooks.hosts == [SERVICE_HOST] * 2
    await caller.close()


async def test_a_server_that_was_started_again(hooks: Hooks, tmp_path: Path) -> None:
    caller = Caller(view(hooks))
    await caller.call(client(hooks), REVIEW, 5)
    await hooks.close()
    with pytest.raises(CallFailed, match="hooks.default.svc:443/allow"):
        await caller.call(client(hooks), REVIEW, 5)
    await caller.close()
    await hooks.open()


async def test_the_certificate_must_name_the_service(hooks: Hooks) -> None:
    caller = Caller(view(hooks, name="other"))
    with pytest.raises(CallFailed, match="certificate"):
        await caller.call(client(hooks, name="other"), REVIEW, 5)
    assert hooks.asked == []
    await caller.close()


@pytest.mark.parametrize(
    ("service", "ready", "says"),
    [
        ({"name": "absent"}, True, 'services "absent" not found'),
        ({"port": 8443}, True, 'no service port 8443 found for service "hooks"'),
        ({}, False, 'no endpoints available for service "hooks"'),
    ],
)
async def test_services_that_lead_nowhere(hooks: Hooks, service: dict[str, Any], ready: bool, says: str) -> None:
    caller = Caller(view(hooks, ready=ready))
    with pytest.raises(CallFailed, match=f'Post "https://.*{says}'):
        await caller.call(client(hooks, **service), REVIEW, 5)
    await caller.close()


async def test_a_bundle_that_is_none(hooks: Hooks) -> None:
    caller = Caller(view(hooks))
    broken = v1.WebhookClientConfig(url=f"https://127.0.0.1:{hooks.port}/allow", caBundle="bm90IGEgYnVuZGxl")
    with pytest.raises(CallFailed, match="unable to load root certificates"):
        await caller.call(broken, REVIEW, 5)


async def test_another_status_is_no_answer(hooks: Hooks) -> None:
    caller = Caller(view(hooks))

    def fail(review: dict[str, Any]) -> bytes:
        raise RuntimeError("broken")

    hooks.raw["/allow"] = fail
    with pytest.raises(CallFailed, match="the server answered 500"):
        await caller.call(client(hooks), REVIEW, 5)
    await caller.close()
