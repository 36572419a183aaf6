"""A thousand requests that nobody should send: each gets a Status that says what is wrong, none a 5xx."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sampan.api.kinds import ALL
from tests.apiserver.conftest import CONFIGS, PODS, Api, config, pod

REQUESTS = 1000
WRONG: tuple[Any, ...] = (
    None, True, -1, 10**30, 1.5, "", "\x00", "a" * 70_000, [], [[[]]], {}, {"": {"": ""}}, "日本", ["a", 1, None],
    "1e400",
    {"matchLabels": 3}, -(2**63), "NaN", [{}], {"name": {"name": []}},
)  # fmt: skip
MEDIA = (
    "application/json", "application/yaml", "application/merge-patch+json", "application/json-patch+json",
    "application/strategic-merge-patch+json", "text/plain", "", "application/vnd.kubernetes.protobuf", "a/b;c=\x7f",
)  # fmt: skip
BYTES = (
    b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe{}", b'{"metadata":{"name":"\xc3\x28"}}', b"[" * 5000,
    b"{\"a\":" * 5000,
    b"a: &a [*a, *a]", b"- " * 3000, b"{}" * 3, b'{"metadata":{"name":"a"}' , b"\x00" * 100, b"k8s\x00\x01\x02",
    b"a: b: c", b"!!python/object/apply:os.system [ls]", b'{"kind":"Pod","apiVersion":3}', b'{"kind":["Pod"]}',
)  # fmt: skip


def mutate(choose: random.Random, value: Any, depth: int = 0) -> Any:
    """The document with something wrong somewhere."""
    if depth > 6 or choose.random() < 0.15:
        return choose.choice(WRONG)
    if isinstance(value, dict) and value:
        name = choose.choice(list(value))
        return {**value, name: mutate(choose, value[name], depth + 1)}
    if isinstance(value, list) and value:
        at = choose.randrange(len(value))
        return [*value[:at], mutate(choose, value[at], depth + 1), *value[at + 1 :]]
    return choose.choice(WRONG)


def paths(choose: random.Random) -> str:
    kind = choose.choice(ALL)
    namespace = choose.choice(("default", "", "..", "%00", "a" * 300, quote("ü"), "kube-system"))
    name = choose.choice(("", "a", "..", "%2e%2e%2f", "%ff", "x" * 5000, "A B", ":::", "web:99999", "a/b/c/d"))
    part = choose.choice(("", "", "status", "scale", "log", "binding", "eviction", "nope", "proxy/x", "token"))
    path = kind.path(namespace, name, part if name else "")
    query = choose.choice(
        ("", "?limit=-1", "?limit=x", "?continue=%ff", "?resourceVersion=-3", "?resourceVersion=1e9",
         "?labelSelector=(((", "?fieldSelector=%00=1", "?timeoutSeconds=x", "?dryRun=All&dryRun=None",
         "?fieldValidation=maybe",
         "?pretty=%00",
         "?gracePeriodSeconds=never", "?propagationPolicy=Sometimes", "?=&=&&", "?" + "a=b&" * 500, "?includeObject=%",
         "?resourceVersionMatch=Roughly&resourceVersion=1", "?tailLines=-5", "?container=../x")
    )  # fmt: skip
    return (
        choose.choice((path, path, path, "/" + path, path + "/", "/api/v9/x", "/apis//", "/openapi/v3/apis/x/y", "//"))
        + query
    )


def requests() -> Iterator[tuple[str, str, bytes, str]]:
    choose = random.Random(20)
    bodies = (
        config("a", k="v"),
        pod("p"),
        {"kind": "DeleteOptions"},
        {"spec": {"replicas": 1}},
        [{"op": "add", "path": "/x"}],
    )
    for _ in range(REQUESTS):
        body = choose.choice(BYTES)
        if choose.random() < 0.7:
            document = mutate(choose, choose.choice(bodies))
            body = json.dumps(document).encode()
            if choose.random() < 0.2:
                body = body[: choose.randrange(len(body) + 1)]
        method = choose.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "POST", "PATCH"))
        target = choose.choice(
            (CONFIGS, PODS, f"{CONFIGS}/a", f"{PODS}/p", f"{PODS}/p/status", paths(choose), paths(choose))
        )
        yield method, target, body, choose.choice(MEDIA if choose.random() < 0.5 else MEDIA[:5])


async def test_nothing_breaks_the_server(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    await api.post(PODS, pod("p"))
    refused, wrong = 0, []
    for method, target, body, media in requests():
        if "watch" in target:
            continue
        answer = await asyncio.wait_for(api.send(method, target, body, type=media), 10)
        if answer.status < 400:
            continue
        refused += 1
        status = answer.json
        told = status["kind"] == "Status" and status["message"] and status["code"] == answer.status
        if not told or (answer.status >= 500 and not _unreachable(status)):
            wrong.append(f"{method} {target[:200]} {body[:200]!r} ({media}) -> {answer.status} {answer.body[:300]!r}")
    assert wrong == []
    assert refused > REQUESTS // 2


def _unreachable(status: dict[str, Any]) -> bool:
    """There are no nodes behind this server, which is no fault of the request."""
    return status["code"] in (503, 504) and (
        "no way to nodes" in status["message"]
        or "Too large resource version" in status["message"]
        or "no endpoints available" in status["message"]
        or "no service port" in status["message"]
    )


async def test_large_bodies_are_refused(api: Api) -> None:
    answer = await api.post(CONFIGS, b"x" * (3 * 1024 * 1024 + 1))
    assert answer.status == 413 and answer["reason"] == "RequestEntityTooLarge"


async def test_deep_documents_are_refused(api: Api) -> None:
    deep = b'{"metadata":{"name":"a"},"data":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
    answer = await api.post(CONFIGS, deep)
    assert answer.status == 400 and answer["reason"] == "BadRequest"
