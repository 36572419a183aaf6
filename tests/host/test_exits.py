"""How containers end: codes, signals, memory, and what stays behind of their families."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from sampan.host import lifecycle
from sampan.host.containers import Resources, RuntimeFailure
from tests.host.lab import Lab, container

pytestmark = pytest.mark.kernel
LISTEN = "while :; do sleep 1000 & wait $!; done"


@pytest.mark.parametrize(("code", "reason"), [(0, "Completed"), (1, "Error"), (126, "Error"), (255, "Error")])
async def test_exit_codes(lab: Lab, code: int, reason: str) -> None:
    pod = await lab.run_sandbox()
    ended = await lab.exited(await lab.start(pod, f"exit {code}"))
    assert (ended.exit_code, ended.reason, ended.message, ended.pid) == (code, reason, "", 0)


async def test_killed_by_a_signal(lab: Lab) -> None:
    pod = await lab.run_sandbox(host_pid=True)
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1):
        ended = await lab.exited(await lab.start(pod, f"kill -{int(number)} $$"))
        assert (ended.exit_code, ended.reason) == (128 + number, "Error")


async def test_out_of_memory(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    eat = container(command=("/bin/tail", "/dev/zero"), resources=Resources(memory_limit=16 << 20))
    id = await lab.runtime.create_container(pod.id, eat)
    await lab.runtime.start_container(id)
    ended = await lab.exited(id)
    assert (ended.exit_code, ended.reason) == (137, "OOMKilled")
    assert not os.path.exists("oom")  # conmon's note does not land where we were started


async def test_child_out_of_memory(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "tail /dev/zero; exit $?", resources=Resources(memory_limit=16 << 20))
    ended = await lab.exited(id)
    assert (ended.exit_code, ended.reason) == (137, "OOMKilled")


async def test_stop_signal_of_the_pod_wins_over_the_images(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    script = f"trap 'exit 10' USR1; trap 'exit 11' TERM; touch /data/ready; {LISTEN}"
    for stop_signal, code in (("", 11), ("SIGUSR1", 10), ("15", 11)):
        id = await lab.start(pod, script, stop_signal=stop_signal)
        await lab.ready(id)
        await lab.runtime.stop_container(id, 20)
        ended = await lab.runtime.container(id)
        assert ended.exit_code == code


@pytest.mark.parametrize(
    ("name", "number"),
    [("", 15), ("TERM", 15), ("sigquit", 3), ("9", 9), ("SIGRTMIN+3", signal.SIGRTMIN + 3), ("NOSUCH", 15)],
)
def test_signal_names(name: str, number: int) -> None:
    assert lifecycle.signal_number(name) == number


async def test_background_child_does_not_hold_the_exit(lab: Lab) -> None:
    """With the pod's shared PID namespace a child outlives its parent and keeps the output open."""
    pod = await lab.run_sandbox(share_pid=True)
    id = await lab.start(pod, "sleep 1000 & exit 5")
    ended = await lab.exited(id)
    assert ended.exit_code == 5
    await lab.runtime.remove_container(id)
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_host_pid_child_does_not_hold_the_exit(lab: Lab) -> None:
    pod = await lab.run_sandbox(host_pid=True)
    id = await lab.start(pod, "sleep 1000 & exit 6")
    assert (await lab.exited(id)).exit_code == 6
    await lab.runtime.remove_container(id)
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_many_stop_at_once(lab: Lab) -> None:
    pods = await asyncio.gather(*(lab.run_sandbox() for _ in range(12)))
    ids = await asyncio.gather(*(lab.start(pod, f"trap 'exit 0' TERM; touch /data/ready; {LISTEN}") for pod in pods))
    await asyncio.gather(*(lab.ready(id) for id in ids))
    await asyncio.gather(*(lab.runtime.stop_container(id, 30) for id in ids))
    found = await lab.runtime.containers()
    assert {(each.state, each.exit_code) for each in found} == {("exited", 0)} and len(found) == 12
    await asyncio.gather(*(lab.runtime.remove_sandbox(pod.id) for pod in pods))
    assert lab.leftovers(live=True) == []


async def test_stop_while_it_starts(lab: Lab) -> None:
    """Whichever comes first, nothing runs in the end."""
    for turns in range(6):
        pod = await lab.run_sandbox()
        id = await lab.runtime.create_container(pod.id, container("sleep 1000"))
        start = asyncio.create_task(lab.runtime.start_container(id))
        for _ in range(turns):
            await asyncio.sleep(0)
        await lab.runtime.stop_sandbox(pod.id)
        refused = (await asyncio.gather(start, return_exceptions=True))[0]
        found = await lab.runtime.container(id)
        assert (found.state, found.exit_code) == (("created", 0) if refused else ("exited", 137))


async def test_no_start_in_a_stopped_sandbox(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.runtime.create_container(pod.id, container("sleep 1000"))
    await lab.runtime.stop_sandbox(pod.id)
    with pytest.raises(RuntimeFailure, match="is not ready"):
        await lab.runtime.start_container(id)
    with pytest.raises(RuntimeFailure, match="is not ready"):
        await lab.runtime.create_container(pod.id, container("sleep 1000"))
    assert (await lab.runtime.container(id)).state == "created"


async def test_remove_while_it_starts(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.runtime.create_container(pod.id, container("sleep 1000"))
    await asyncio.gather(lab.runtime.start_container(id), lab.runtime.remove_container(id))
    assert await lab.runtime.containers() == []
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_cancelled_start_is_whole(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.runtime.create_container(pod.id, container("sleep 1000"))
    task = asyncio.create_task(lab.runtime.start_container(id))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await lab.runtime.container(id)).state == "running"


async def test_changes_are_told(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    changes = lab.runtime.changes()
    id = await lab.start(pod, "read x < /dev/null; exit 2")
    seen = [await anext(changes)]
    while (await lab.runtime.container(id)).state != "exited":
        seen.append(await anext(changes))
    assert set(seen) == {id}


async def test_exec_format_error(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "printf 'not a program' > /data/x; chmod +x /data/x; exec /data/x", name="a")
    ended = await lab.exited(id)
    assert ended.exit_code in (2, 126, 127)


async def test_names_of_attempts_are_free(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    first = await lab.exited(await lab.start(pod, "exit 1"))
    again = replace(first.config, attempt=1, log_path="main/1.log")
    id = await lab.runtime.create_container(pod.id, again)
    await lab.runtime.start_container(id)
    assert (await lab.exited(id)).config.attempt == 1
