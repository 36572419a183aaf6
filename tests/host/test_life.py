"""A sandbox and a container from the first to the last moment, in the real kernel."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sampan.host.containers import RuntimeFailure
from tests.host.lab import Lab, container, read, records

pytestmark = pytest.mark.kernel


async def test_container_runs_and_is_gone(lab: Lab) -> None:
    runtime = lab.runtime
    pod = await lab.run_sandbox()
    assert pod.ready and pod.ips == ("10.9.9.2",) and os.path.exists(pod.netns)
    id = await runtime.create_container(pod.id, container("echo out; echo err >&2; printf part; exit 7"))
    made = await runtime.container(id)
    assert made.state == "created" and made.image_id.startswith("sha256:")
    await runtime.start_container(id)
    ended = await lab.exited(id)
    assert (ended.exit_code, ended.reason) == (7, "Error")
    assert ended.created_at <= ended.started_at <= ended.finished_at
    written = records(lab.log_path(pod, ended.config).read_text())
    assert sorted(written) == [("stderr", "err\n"), ("stdout", "out\n"), ("stdout", "part")]
    await runtime.remove_container(id)
    assert await runtime.container(id) is None
    await runtime.remove_sandbox(pod.id)
    assert not os.path.exists(pod.netns)
    assert await runtime.sandboxes() == [] and await runtime.containers() == []
    assert lab.network.attached == {}
    assert lab.leftovers(live=True) == []


async def test_exec_and_stop(lab: Lab) -> None:
    runtime = lab.runtime
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "trap 'echo bye; exit 3' TERM; touch /data/ready; while :; do sleep 0.05; done")
    await lab.ready(id)
    result = await runtime.run(id, ["sh", "-c", "echo $FROM; hostname; echo no >&2; exit 4"], timeout=10)
    assert (result.code, result.stdout, result.stderr) == (4, b"image\npod\n", b"no\n")
    await runtime.stop_container(id, 10)
    ended = await runtime.container(id)
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 3, "Error")
    assert "bye" in lab.log(pod, ended.config)
    await runtime.stop_container(id, 10)
    await runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_stop_kills_after_the_grace(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await lab.runtime.stop_container(id, 0.2)
    ended = await lab.runtime.container(id)
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 137, "Error")


async def test_missing_image_and_command(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="image 'nowhere/none:1' not found") as raised:
        await lab.runtime.create_container(pod.id, container(image="nowhere/none:1"))
    assert raised.value.reason == "CreateContainerError"
    id = await lab.runtime.create_container(pod.id, container(command=("/absent",)))
    with pytest.raises(RuntimeFailure, match=r"/absent.*no such file or directory") as raised:
        await lab.runtime.start_container(id)
    assert raised.value.reason == "RunContainerError"
    ended = await lab.runtime.container(id)
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 128, "StartError")
    assert "/absent" in ended.message


async def test_network_that_refuses_leaves_nothing(lab: Lab) -> None:
    lab.network.refuse = "no address left"
    with pytest.raises(RuntimeFailure, match="no address left"):
        await lab.run_sandbox()
    assert lab.leftovers(live=True) == []
    assert Path(lab.run).exists()


async def test_no_descriptor_is_left(lab: Lab) -> None:
    async def cycle() -> None:
        pod = await lab.run_sandbox(share_pid=True)
        id = await lab.start(pod, "while read a; do echo $a; done", stdin=True)
        assert (await lab.runtime.run(id, ["true"], 20)).code == 0
        for tty in (False, True):
            session = await lab.runtime.exec(id, ["cat"], tty=tty, stdin=True)
            await session.write_stdin(b"x\n")
            await read(session, b"x")
            await session.close()
        attached = await lab.runtime.attach(id)
        await attached.write_stdin(b"y\n")
        await read(attached, b"y")
        await attached.close()
        with pytest.raises(RuntimeFailure):
            await lab.runtime.connect(pod.id, 9)
        with pytest.raises(RuntimeFailure):
            await lab.runtime.run(id, ["/absent"], 20)
        with pytest.raises(RuntimeFailure):
            await lab.start(pod, "", command=("/absent",))
        await lab.runtime.remove_sandbox(pod.id)

    await cycle()
    before = sorted(os.readlink(f"/proc/self/fd/{name}") for name in open_descriptors())
    for _ in range(3):
        await cycle()
    after = sorted(os.readlink(f"/proc/self/fd/{name}") for name in open_descriptors())
    assert len(after) == len(before), (before, after)


def open_descriptors() -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")]


async def test_many_pods_at_once(lab: Lab) -> None:
    """As many as a node takes: all run, each has its own namespaces, and all of it goes again."""
    pods = await asyncio.gather(*(lab.run_sandbox() for _ in range(60)))
    ids = await asyncio.gather(*(lab.start(pod, "sleep 1000") for pod in pods))
    results = await asyncio.gather(*(lab.runtime.run(id, ["readlink", "/proc/self/ns/net"], 60) for id in ids))
    assert len({result.stdout for result in results}) == 60
    await asyncio.gather(*(lab.runtime.remove_sandbox(pod.id) for pod in pods))
    assert lab.leftovers(live=True) == []
