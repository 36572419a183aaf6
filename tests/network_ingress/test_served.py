"""A cluster of the tests' own publishes: by host and path, over HTTP and HTTPS, without losing a request."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.machine import eventually
from tests.network_ingress import manifests
from tests.network_ingress.load import visitors
from tests.network_ingress.served import Published

pytestmark = [pytest.mark.e2e]


def test_by_host_and_path(published: Published) -> None:
    published.publish(
        "paths",
        ("paths.localhost", "/", "Prefix", "one"),
        ("paths.localhost", "/cgi-bin/hello", "Exact", "two"),
        ("*.paths.localhost", "/", "Prefix", "two"),
    )
    published.opened("paths")
    assert published.says("paths.localhost") == "two"
    assert published.says("paths.localhost", "/cgi-bin/hello?x=1") == "two"
    assert published.ask("paths.localhost", "/cgi-bin/healthz").body == "ok\n"
    assert published.says("any.paths.localhost") == "two"
    assert published.ask("more.any.paths.localhost").status == 404, "a star is one label"
    assert published.ask("unknown.localhost").status == 404
    published.withdraw("paths")


def test_https_by_the_local_authority(published: Published) -> None:
    published.publish("secure", ("secure.localhost", "/", "Prefix", "one"))
    published.opened("secure")
    assert published.ask("secure.localhost", secure=True).body.startswith("one, version v1")
    published.publish("secure", ("secure.localhost", "/", "Prefix", "one"), tls=[{"hosts": ["secure.localhost"]}])
    answer = eventually(lambda: redirected(published, "secure.localhost"), "HTTP leads to HTTPS")
    assert answer == f"https://secure.localhost:{published.machine.https_port}/cgi-bin/hello"
    published.withdraw("secure")


def redirected(published: Published, host: str) -> str:
    answer = published.ask(host)
    return answer.headers["location"] if answer.status == 308 else ""


def test_https_by_a_secret(published: Published, tmp_path: Path) -> None:
    chain, key = manifests.pair("secret.localhost")
    (tmp_path / "own.crt").write_bytes(chain)
    data = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(key).decode()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "own"},
        "data": data,
    }
    published.machine.apply(secret)
    tls = [{"hosts": ["secret.localhost"], "secretName": "own"}]
    published.publish("secret", ("secret.localhost", "/", "Prefix", "one"), tls=tls)
    published.opened("secret")
    answer = published.ask("secret.localhost", secure=True, ca=str(tmp_path / "own.crt"))
    assert answer.body.startswith("one, version v1")
    published.withdraw("secret")


def test_annotations(published: Published) -> None:
    published.publish(
        "changed",
        ("changed.localhost", "/app(/|$)(.*)", "ImplementationSpecific", "one"),
        annotations={"rewrite-target": "/cgi-bin/$2"},
    )
    published.publish(
        "closed", ("closed.localhost", "/", "Prefix", "one"), annotations={"whitelist-source-range": "192.0.2.0/24"}
    )
    published.publish("kept", ("kept.localhost", "/", "Prefix", "one"), annotations={"affinity": "cookie"})
    eventually(lambda: published.says("changed.localhost", "/app/hello") == "one", "the path is rewritten")
    eventually(lambda: published.ask("closed.localhost").status == 403, "only some may enter")
    cookie = eventually(lambda: published.ask("kept.localhost").headers.get("set-cookie"), "a cookie is set")
    assert cookie.startswith("INGRESSCOOKIE=")
    published.withdraw("changed", "closed", "kept")


def test_one_that_nginx_does_not_take_leaves_the_others(published: Published) -> None:
    published.publish("right", ("right.localhost", "/", "Prefix", "one"))
    published.opened("right")
    # Python knows letters by their numbers so, nginx's expressions do not.
    published.publish("wrong", ("wrong.localhost", "/\\u0041", "Prefix", "one"), annotations={"use-regex": "true"})
    eventually(lambda: "nginx does not take it" in published.events("wrong"), "its author is told")
    published.publish("later", ("later.localhost", "/", "Prefix", "two"))
    published.opened("later")
    assert published.says("later.localhost") == "two"
    assert published.says("right.localhost") == "one"
    assert not published.address("wrong")
    published.withdraw("right", "wrong", "later")


async def test_no_request_is_lost_while_the_configuration_changes(published: Published) -> None:
    published.publish("still", ("still.localhost", "/", "Prefix", "one"))
    await asyncio.to_thread(published.opened, "still")

    def change() -> None:
        for seconds in range(60, 72):
            times = {"proxy-read-timeout": str(seconds)}
            published.publish("still", ("still.localhost", "/", "Prefix", "one"), annotations=times)

    async with (
        visitors("still.localhost", published.machine.http_port, "/cgi-bin/hello") as tally,
        visitors("still.localhost", published.machine.http_port, "/cgi-bin/hello", body=b"x" * 10) as posted,
    ):
        await asyncio.to_thread(change)
    assert (tally.failed, posted.failed) == ({}, {})
    assert tally.good > 100 and posted.good > 100
    published.withdraw("still")


async def test_no_request_is_lost_while_pods_are_replaced(published: Published) -> None:
    published.publish("rolling", ("rolling.localhost", "/", "Prefix", "two"))
    await asyncio.to_thread(published.opened, "rolling")

    def replace() -> None:
        for version in ("v2", "v1"):
            published.machine.kubectl("set", "image", "deployment/two", f"web=sampan.dev/hello:{version}")
            published.machine.kubectl("rollout", "status", "deployment/two", "--timeout=90s")

    async with visitors("rolling.localhost", published.machine.http_port, "/cgi-bin/hello") as tally:
        await asyncio.to_thread(replace)
    assert tally.failed == {}, tally.bodies
    assert any(b"version v2" in body for body in tally.bodies), "the new pods were asked"
    published.withdraw("rolling")


def test_nginx_outlives_the_node_process_and_comes_back_when_it_ends(published: Published) -> None:
    published.publish("lasting", ("lasting.localhost", "/", "Prefix", "one"))
    published.opened("lasting")
    before, node = eventually(published.nginx, "nginx is known"), published.machine.pids()["node"]
    os.kill(node, signal.SIGKILL)
    assert published.ask("lasting.localhost").body.startswith("one"), "nobody is needed for requests"
    eventually(lambda: published.machine.pids()["node"] not in (0, node), "the node's process is there again")
    published.publish("second", ("second.localhost", "/", "Prefix", "two"))
    published.opened("second")
    assert published.says("second.localhost") == "two", "it changes the nginx that it found"
    assert published.nginx() == before
    os.kill(before, signal.SIGKILL)
    eventually(lambda: published.nginx() not in (0, before), "another nginx is started")
    eventually(lambda: published.says("lasting.localhost") == "one", "it answers")
    published.withdraw("lasting", "second")


def test_without_an_ingress_there_is_no_nginx(published: Published) -> None:
    published.publish("only", ("only.localhost", "/", "Prefix", "one"))
    eventually(lambda: published.nginx(), "nginx runs")
    published.withdraw("only")
    eventually(lambda: not published.nginx(), "nginx ended")
    assert "no hosts yet" in published.machine.sampan("status", *published.machine.where()).stdout


def test_a_balanced_service_answers_at_its_address(published: Published) -> None:
    machine = published.machine
    machine.kubectl(
        "expose", "deployment/one", "--name=balanced", "--type=LoadBalancer", "--port=81", "--target-port=8080"
    )
    address = eventually(lambda: balanced(published), "the service has an address")
    assert address == published.balancers.replace(".0/30", ".1")
    # The address is written before the node answers at it.
    answer = eventually(lambda: visited(f"http://{address}:81/cgi-bin/hello"), "the address answers")
    assert answer.startswith("one, version v1")
    machine.kubectl("patch", "service", "balanced", "-p", '{"spec": {"type": "ClusterIP"}}')
    eventually(lambda: not balanced(published), "the address is released")
    eventually(lambda: f" {address}/32" not in addresses(), "the node gives it up")
    machine.kubectl("delete", "service", "balanced")


def visited(url: str) -> str:
    """What the URL says, "" when nobody answers."""
    return subprocess.run(["curl", "-fsS", "--max-time", "5", url], capture_output=True, text=True, check=False).stdout


def addresses() -> str:
    return subprocess.run(["ip", "-o", "address"], capture_output=True, text=True, check=True).stdout


def balanced(published: Published) -> str:
    status = published.machine.get("service", "balanced")["status"]["loadBalancer"]
    return str(status["ingress"][0]["ip"]) if status.get("ingress") else ""
