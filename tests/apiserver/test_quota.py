"""ResourceQuota at admission: what is used is reserved before an object is stored."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.apiserver.conftest import CONFIGS, PODS, Api, config, pod

QUOTAS = "/api/v1/namespaces/default/resourcequotas"


async def limit(api: Api, name: str = "q", used: dict[str, str] | None = None, **hard: str) -> None:
    """A quota as the controller leaves it: counted once."""
    limits = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    made = await api.post(QUOTAS, {"metadata": {"name": name}, "spec": {"hard": limits}})
    assert made.status == 201, made.body
    status = {"hard": limits, "used": dict.fromkeys(limits, "0") if used is None else used}
    counted = await api.patch(f"{QUOTAS}/{name}/status", {"status": status})
    assert counted.status == 200, counted.body


async def used(api: Api, name: str = "q") -> dict[str, str]:
    found: dict[str, str] = (await api.get(f"{QUOTAS}/{name}"))["status"]["used"]
    return found


def sized(name: str, cpu: str) -> dict[str, Any]:
    container = {"name": "main", "image": "a:1", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}


async def test_what_is_created_is_charged(api: Api) -> None:
    await limit(api, count__configmaps="2", configmaps="5")
    await api.post(CONFIGS, config("a"))
    await api.post(CONFIGS, config("b"))
    assert await used(api) == {"count/configmaps": "2", "configmaps": "2"}
    refused = await api.post(CONFIGS, config("c"))
    assert (refused.status, refused["reason"]) == (403, "Forbidden")
    assert refused.message == (
        'configmaps "c" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, '
        "limited: count/configmaps=2"
    )
    assert (await api.get(f"{CONFIGS}/c")).status == 404


async def test_of_many_at_once_only_as_many_pass_as_fit(api: Api) -> None:
    await limit(api, count__configmaps="3")
    answers = await asyncio.gather(*(api.post(CONFIGS, config(f"c{i}")) for i in range(10)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 7
    assert await used(api) == {"count/configmaps": "3"}


async def test_pods_must_say_what_is_limited(api: Api) -> None:
    await limit(api, requests_cpu="1", pods="10")
    silent = await api.post(PODS, pod("a"))
    assert silent.message == 'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: main'
    assert (await api.post(PODS, sized("b", "600m"))).status == 201
    refused = await api.post(PODS, sized("c", "500m"))
    assert refused.message == (
        'pods "c" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    assert await used(api) == {"requests.cpu": "600m", "pods": "1"}


async def test_trials_and_taken_names_cost_nothing(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    await limit(api, count__configmaps="5")
    assert (await api.post(f"{CONFIGS}?dryRun=All", config("b"))).status == 201
    assert (await api.post(CONFIGS, config("a"))).status == 409
    assert await used(api) == {"count/configmaps": "0"}


async def test_services_that_grow_are_charged(api: Api) -> None:
    await limit(api, services_nodeports="1")
    services = "/api/v1/namespaces/default/services"
    ports = [{"port": 80}]
    await api.post(services, {"metadata": {"name": "a"}, "spec": {"ports": ports}})
    assert (await api.patch(f"{services}/a", {"spec": {"type": "NodePort"}})).status == 200
    assert await used(api) == {"services.nodeports": "1"}
    refused = await api.post(services, {"metadata": {"name": "b"}, "spec": {"type": "NodePort", "ports": ports}})
    assert "exceeded quota: q, requested: services.nodeports=1" in refused.message


async def test_an_uncounted_quota_lets_nothing_pass(api: Api) -> None:
    await limit(api, used={}, count__configmaps="5")
    refused = await api.post(CONFIGS, config("a"))
    assert refused.message == ('configmaps "a" is forbidden: status unknown for quota: q, resources: count/configmaps')
