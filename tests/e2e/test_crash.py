"""kill -9 of our own processes: nothing acknowledged is lost, and no container notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from sampan.api import kinds
from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client
from sampan.client.informer import Informer
from sampan.http.client import HttpTransport
from tests.e2e.machine import Machine, eventually
from tests.e2e.manifests import deployment, pod

pytestmark = [pytest.mark.e2e]
KILLS = 20
WRITERS = 8
WATCHERS = 4


@contextlib.asynccontextmanager
async def connected(machine: Machine) -> AsyncIterator[Client]:
    pki = machine.data_dir / "pki"
    tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    transport = HttpTransport(machine.url, tls=tls)
    try:
        yield Client(transport, kinds.ALL)
    finally:
        await transport.close()


async def serving(machine: Machine, old: int) -> int:
    """The API server's new process, once it answers."""
    async with asyncio.timeout(60):
        while True:
            pid = machine.pids()["apiserver"]
            if pid not in (0, old):
                async with connected(machine) as client:
                    with contextlib.suppress(OSError, StatusError):
                        await (await client.raw("GET", "/readyz")).read()
                        return pid
            await asyncio.sleep(0.02)


async def write(
    client: Client, namespace: str, numbers: Iterator[int], acknowledged: set[str], enough: asyncio.Event
) -> None:
    while not enough.is_set():
        number = next(numbers)
        name = f"w-{number}"
        meta = meta_v1.ObjectMeta(name=name, namespace=namespace)
        try:
            await client.create(core_v1.ConfigMap(metadata=meta, data={"number": str(number)}))
        except (OSError, StatusError):
            # Not acknowledged: whether it was written is open, and nothing is promised.
            await asyncio.sleep(0.02)
        else:
            acknowledged.add(name)


async def test_kill_the_api_server_under_write_load(machine: Machine, namespace: str) -> None:
    acknowledged: set[str] = set()
    numbers, enough = itertools.count(), asyncio.Event()
    async with connected(machine) as client, asyncio.TaskGroup() as group:
        watchers = [Informer(client, core_v1.ConfigMap, namespace) for _ in range(WATCHERS)]
        watching = [group.create_task(watcher.run()) for watcher in watchers]
        writing = [group.create_task(write(client, namespace, numbers, acknowledged, enough)) for _ in range(WRITERS)]
        for _ in range(KILLS):
            before = len(acknowledged)
            async with asyncio.timeout(60):
                while len(acknowledged) < before + 50:
                    await asyncio.sleep(0.01)
            pid = machine.pids()["apiserver"]
            os.kill(pid, signal.SIGKILL)
            await serving(machine, pid)
        # Not cancelled: a write that is cut off may still arrive after the list below.
        enough.set()
        await asyncio.wait(writing)
        async with connected(machine) as fresh:
            page = await fresh.list(core_v1.ConfigMap, namespace)
        there = {item.metadata.name: item.metadata.resourceVersion for item in page.items}
        assert acknowledged <= set(there), f"lost: {sorted(acknowledged - set(there))[:5]}"
        async with asyncio.timeout(60):
            while any({o.metadata.name: o.metadata.resourceVersion for o in w.all()} != there for w in watchers):
                await asyncio.sleep(0.05)
        for task in watching:
            task.cancel()
    assert len(acknowledged) >= KILLS * 50


def containers(machine: Machine, namespace: str) -> dict[str, tuple[str, int]]:
    pods = machine.get("-n", namespace, "pods")["items"]
    return {
        p["metadata"]["name"]: (
            p["status"]["containerStatuses"][0]["containerID"],
            p["status"]["containerStatuses"][0]["restartCount"],
        )
        for p in pods
    }


def test_kill_the_node_process(machine: Machine, namespace: str) -> None:
    counter = "i=0; trap 'exit 0' TERM; while true; do echo $i; i=$((i+1)); sleep 0.1 & wait $!; done"
    machine.apply(deployment("web", 2), pod("counter", command=["/bin/sh", "-c", counter]), namespace=namespace)
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/counter", "--timeout=60s")
    before = containers(machine, namespace)
    pid = machine.pids()["node"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: machine.pids()["node"] not in (0, pid), "a new node process")
    seen = len(machine.kubectl("-n", namespace, "logs", "counter", check=False).stdout.split())
    eventually(
        lambda: len(machine.kubectl("-n", namespace, "logs", "counter", check=False).stdout.split()) > seen + 5,
        "the log goes on",
    )
    lines = machine.kubectl("-n", namespace, "logs", "counter").stdout.split()
    assert lines == [str(number) for number in range(len(lines))]
    assert containers(machine, namespace) == before
    # Adopted, not just left alone: an exec reaches it, and its end is seen.
    assert machine.kubectl("-n", namespace, "exec", "counter", "--", "echo", "here").stdout == "here\n"
    # The end of process 1 may take the one that asks for it along.
    machine.kubectl("-n", namespace, "exec", "counter", "--", "kill", "1", check=False)
    eventually(lambda: containers(machine, namespace)["counter"][1] == 1, "the restart of a container that ended")


def test_kill_everything_at_once(machine: Machine, namespace: str) -> None:
    machine.apply(deployment("web", 2), namespace=namespace)
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    before = containers(machine, namespace)
    pids = machine.pids()
    for role in ("manager", "node", "apiserver"):
        os.kill(pids[role], signal.SIGKILL)
    eventually(
        lambda: all(pid and pid not in pids.values() for name, pid in machine.pids().items() if name != "supervisor"),
        "new processes",
    )
    eventually(
        lambda: machine.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", "the API server's answer"
    )
    machine.kubectl("-n", namespace, "scale", "deployment/web", "--replicas=3")
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    after = containers(machine, namespace)
    assert {name: after[name] for name in before} == before
