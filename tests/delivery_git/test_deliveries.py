"""Webhooks against the running server: what a forge delivers becomes a run, once, and strangers learn nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import aclosing
from typing import Any

import pytest

from sampan.api.extra.sampan_v1 import App, AppGit, AppSource, AppSpec
from sampan.api.types import core_v1
from sampan.api.types.meta_v1 import ObjectMeta
from sampan.delivery import webhook
from sampan.delivery.git import deliveries
from sampan.delivery.git.deliveries import judge, same_repository
from sampan.http.types import Request
from tests.delivery_git.conftest import Forge

SECRET = "only the forge knows"
URL = "https://github.com/ann/web.git"
SHA, BEFORE = "a" * 40, "b" * 40


def app(url: str = URL, ref: str | None = None) -> App:
    source = AppSource(git=AppGit(url=url, ref=ref)) if url else AppSource(image="web:1")
    return App(metadata=ObjectMeta(name="web", namespace="default"), spec=AppSpec(source=source))


def event(**changes: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": SHA,
        "repository": {"full_name": "ann/web", "clone_url": URL, "default_branch": "main"},
        "head_commit": {"message": "greet\n\nmore", "author": {"name": "Ann"}},
        **changes,
    }


def signed(document: Any, secret: str = SECRET, **headers: str) -> tuple[dict[str, str], bytes]:
    body = json.dumps(document).encode()
    mark = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    made = {"x-github-event": "push", "x-github-delivery": "d1", "x-hub-signature-256": mark}
    return {"host": "hooks", "content-type": "application/json", **made, **headers}, body


async def deliver(forge: Forge, headers: dict[str, str], body: bytes, path: str = "default/web") -> tuple[int, str]:
    transport = forge.transport()
    try:
        response = await transport.send(Request("POST", f"/hooks/{path}", headers, body))
        return response.status, (await response.read()).decode()
    finally:
        await transport.close()


async def prepared(forge: Forge, made: App | None = None, secret: str = SECRET) -> None:
    await forge.cluster.client.create(made or app())
    if secret:
        data = {"secret": base64.b64encode(secret.encode()).decode()}
        await forge.cluster.client.create(
            core_v1.Secret(metadata=ObjectMeta(name="web-webhook", namespace="default"), data=data)
        )


async def told(forge: Forge, reason: str) -> str:
    """The message of an event, as soon as it is there."""
    async with aclosing(forge.cluster.client.watch(core_v1.Event, "default")) as seen:
        async for each in seen:
            if each.object.reason == reason:
                return each.object.message or ""
    raise AssertionError(f"no event {reason}")


async def test_a_push_becomes_a_run(forge: Forge) -> None:
    await prepared(forge)
    status, said = await deliver(forge, *signed(event()))
    assert status == 202, said
    answer = json.loads(said)
    (run,) = await forge.made()
    assert answer == {"run": run.metadata.name, "namespace": "default"}
    assert run.spec.source.url == URL
    assert run.spec.source.ref == "refs/heads/main"
    assert run.spec.source.commit == SHA
    assert (run.spec.trigger.kind, run.spec.trigger.by, run.spec.trigger.message) == ("webhook", "Ann", "greet")


async def test_the_same_delivery_makes_one_run_whatever_it_is_called(forge: Forge) -> None:
    await prepared(forge)
    names = set()
    for id in ("d1", "d1", "d2"):
        status, said = await deliver(forge, *signed(event(), **{"x-github-delivery": id}))
        assert status == 202
        names.add(json.loads(said)["run"])
    assert len(names) == len(await forge.made()) == 1
    await asyncio.gather(*(deliver(forge, *signed(event(after="c" * 40))) for _ in range(2)))
    assert len(await forge.made()) == 2
    assert forge.counts.deliveries == {"run": 2, "repeated": 3}


async def test_strangers_learn_nothing(forge: Forge) -> None:
    await prepared(forge)
    answers = {
        await deliver(forge, *signed(event(), "another")),
        await deliver(forge, *signed(event(), "another"), path="default/nothing"),
        await deliver(forge, *signed(event(), "another"), path="nowhere/web"),
        await deliver(forge, *signed(event(), ""), path="default/nothing"),
    }
    assert answers == {(403, f"{deliveries.UNKNOWN}\n")}
    assert forge.counts.deliveries == {"refused": 4}
    assert await forge.made() == []


async def test_a_hook_without_a_secret_believes_nobody(forge: Forge) -> None:
    await prepared(forge, secret="")
    assert (await deliver(forge, *signed(event(), "")))[0] == 403
    assert (await deliver(forge, *signed(event())))[0] == 403


async def test_a_changed_or_unsigned_delivery_is_refused(forge: Forge) -> None:
    await prepared(forge)
    headers, body = signed(event())
    assert (await deliver(forge, headers, body.replace(SHA.encode(), b"c" * 40)))[0] == 403
    bare = {key: value for key, value in headers.items() if key != "x-hub-signature-256"}
    assert (await deliver(forge, bare, body))[0] == 401
    assert (await deliver(forge, {**bare, "x-hub-signature": "sha1=" + "0" * 40}, body))[0] == 401
    assert (await deliver(forge, {"host": "hooks"}, body))[0] == 400
    assert await forge.made() == []


async def test_a_secret_without_an_app_is_told_to_who_knows_it(forge: Forge) -> None:
    await prepared(forge)
    await forge.cluster.client.delete(App, "web", "default")
    status, said = await deliver(forge, *signed(event()))
    assert (status, said) == (404, "there is no app web in namespace default\n")


async def test_a_ping_is_answered(forge: Forge) -> None:
    await prepared(forge)
    headers, body = signed({"zen": "x"}, **{"x-github-event": "ping"})
    assert await deliver(forge, headers, body) == (200, '{"message":"the hook is well"}\n')


async def test_gitlab_and_gitea(forge: Forge) -> None:
    await prepared(forge, app("https://git.example.com/ann/web"))
    gitlab = {
        **event(),
        "checkout_sha": SHA,
        "project": {"path_with_namespace": "ann/web", "git_http_url": "https://git.example.com/ann/web.git"},
        "commits": [],
    }
    headers = {
        "host": "h",
        "content-type": "application/json",
        "x-gitlab-event": "Push Hook",
        "x-gitlab-token": SECRET,
    }
    assert (await deliver(forge, headers, json.dumps(gitlab).encode()))[0] == 202
    assert (await deliver(forge, {**headers, "x-gitlab-token": "x"}, json.dumps(gitlab).encode()))[0] == 403
    gitea = event(repository={"full_name": "ann/web", "clone_url": "https://git.example.com/Ann/web.git"})
    headers, body = signed(gitea)
    assert (await deliver(forge, {**headers, "x-gitea-event": "push"}, body))[0] == 202
    assert len(await forge.made()) == 2
    assert forge.counts.deliveries == {"run": 2, "refused": 1}


async def test_what_is_too_large(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(forge)
    monkeypatch.setattr(webhook, "LIMIT", 1000)
    headers, body = signed(event(more="x" * 1000))
    assert (await deliver(forge, headers, body))[0] == 413


async def test_events_tell_the_apps_people(forge: Forge) -> None:
    await prepared(forge)
    await deliver(forge, *signed(event(), "another"))
    await deliver(forge, *signed(event()))
    assert "the signature does not fit" in await told(forge, "WebhookRefused")
    assert "github: main of ann/web is at aaaaaaaa now" in await told(forge, "PushReceived")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ref": "refs/heads/feature"}, "branch feature does not deploy, main does"),
        ({"ref": "refs/tags/v1"}, "tag v1 is no branch"),
        ({"after": "0" * 40, "deleted": True}, "branch main was deleted"),
        ({"repository": {"full_name": "x", "clone_url": "https://github.com/eve/web.git"}}, "another repository than"),
    ],
)
async def test_pushes_that_mean_nothing_here(forge: Forge, changes: dict[str, Any], why: str) -> None:
    await prepared(forge)
    status, said = await deliver(forge, *signed(event(**changes)))
    assert status == 200
    assert why in said
    assert await forge.made() == []


def test_an_app_that_comes_from_no_repository_is_not_driven_by_one() -> None:
    push = webhook.read(*signed(event()), SECRET)
    assert push is not None
    assert "does not come from a repository" in judge(app(""), push)


def test_the_branch_is_the_apps_or_the_repositorys_own() -> None:
    push = webhook.read(
        *signed(event(ref="refs/heads/trunk", repository={**event()["repository"], "default_branch": "trunk"})), SECRET
    )
    assert push is not None
    assert judge(app(), push) == ""
    assert judge(app(ref="refs/heads/trunk"), push) == ""
    assert "main does" in judge(app(ref="main"), push)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (URL, "git@github.com:ann/web.git", True),
        (URL, "ssh://git@github.com/ann/web", True),
        (URL, "https://user:word@GitHub.com/Ann/web/", True),
        (URL, "https://github.com.evil.com/ann/web.git", False),
        (URL, "https://evil.com/github.com/ann/web.git", False),
        (URL, "https://github.com@evil.com/ann/web.git", False),
        ("", "", False),
        ("file:///srv/web.git", "file:///srv/web.git", True),
    ],
)
def test_one_repository_by_several_ways(one: str, other: str, same: bool) -> None:
    assert same_repository(one, other) is same
