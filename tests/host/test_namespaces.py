"""What the containers of a pod share, with each other and with the host."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sampan.host import namespaces
from sampan.host.containers import RuntimeFailure
from tests.host.lab import Lab

pytestmark = pytest.mark.kernel
WHERE = "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done"
KINDS = ("net", "ipc", "uts", "pid", "mnt")


async def where(lab: Lab, **fields: bool) -> dict[str, str]:
    output = await lab.output(WHERE, lab.sandbox(**fields))
    return dict(zip(KINDS, output.split(), strict=True))


def host() -> dict[str, str]:
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}


async def test_own_namespaces(lab: Lab) -> None:
    inside = await where(lab)
    assert [kind for kind, name in host().items() if inside[kind] == name] == []


@pytest.mark.parametrize(
    ("field", "shared"), [("host_network", ["net", "uts"]), ("host_ipc", ["ipc"]), ("host_pid", ["pid"])]
)
async def test_host_namespaces(lab: Lab, field: str, shared: list[str]) -> None:
    inside = await where(lab, **{field: True})
    assert [kind for kind, name in host().items() if inside[kind] == name] == shared


async def test_host_network_has_the_hosts_name(lab: Lab) -> None:
    output = await lab.output("hostname", lab.sandbox(host_network=True, hostname=socket.gethostname()))
    assert output == f"{socket.gethostname()}\n"
    assert lab.network.attached == {}


async def test_containers_share_the_pods_namespaces(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    found = []
    for name in ("a", "b"):
        id = await lab.start(pod, "while :; do sleep 1000; done", name=name, log_path=f"{name}/0.log")
        output = (await lab.runtime.run(id, ["sh", "-c", WHERE], 20)).stdout.decode()
        found.append(dict(zip(KINDS, output.split(), strict=True)))
    assert [kind for kind in KINDS if found[0][kind] == found[1][kind]] == ["net", "ipc", "uts"]


async def test_loopback_is_up(lab: Lab) -> None:
    script = "httpd -p 127.0.0.1:80 -h /etc; until wget -q -O - http://127.0.0.1/passwd | head -1; do sleep 0.01; done"
    assert await lab.output(script) == "root:x:0:0:root:/:/bin/sh\n"


async def test_shared_pid_namespace(lab: Lab) -> None:
    pod = await lab.run_sandbox(share_pid=True)
    first = await lab.start(pod, "sleep 987", name="a", log_path="a/0.log")
    ended = await lab.exited(
        await lab.start(pod, "ps -o pid,args; sh -c 'sleep 0.01 &'; sleep 0.1; ps -o stat | grep -c Z; exit 0")
    )
    lines = lab.log(pod, ended.config).splitlines()
    assert lines[1].split() == ["1", "/init"] and any("sleep 987" in line for line in lines)
    assert lines[-1] == "0"  # what nobody waits for is reaped
    assert (await lab.runtime.container(first)).state == "running"
    await lab.runtime.stop_sandbox(pod.id)
    assert (await lab.runtime.container(first)).state == "exited"
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_a_container_that_sees_the_processes_of_another(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    watched = await lab.start(pod, "trap 'exit 0' TERM; sleep 986 & wait", name="a", log_path="a/0.log")
    ended = await lab.exited(await lab.start(pod, "ps -o args; kill 1", name="debugger", target="a"))
    assert "sleep 986" in lab.log(pod, ended.config)
    assert (await lab.exited(watched)).state == "exited", "it may be signalled, too"
    with pytest.raises(RuntimeFailure, match="container 'a', whose processes were asked for, does not run"):
        await lab.start(pod, "true", name="late", target="a")
    await lab.runtime.stop_sandbox(pod.id)
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_safe_sysctls(lab: Lab) -> None:
    sysctls = {
        "net.ipv4.ip_unprivileged_port_start": "80",
        "net/ipv4/ping_group_range": "0\t100",
        "kernel.shm_rmid_forced": "1",
        "kernel.msgmax": "9000",
    }
    read = "cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range kernel/shm_rmid_forced"
    pod = lab.sandbox(sysctls=sysctls)
    assert (await lab.output(f"{read} kernel/msgmax", pod)).split() == ["80", "0", "100", "1", "9000"]
    assert Path("/proc/sys/kernel/msgmax").read_text() != "9000\n"  # the host's is its own


@pytest.mark.parametrize("name", ["net.ipv4.no_such", "../../etc/passwd", "kernel.shm_rmid_forced"])
async def test_bad_sysctl(lab: Lab, name: str) -> None:
    with pytest.raises(RuntimeFailure, match="sysctl") as raised:
        await lab.run_sandbox(sysctls={name: "not a number"})
    assert raised.value.reason == "CreatePodSandboxError"
    assert lab.leftovers(live=True) == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
        ("net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
    ],
)
def test_sysctl_paths(name: str, path: str) -> None:
    assert namespaces.sysctl_path(name) == f"/proc/sys/{path}"


async def test_nothing_of_ours_changes(lab: Lab) -> None:
    before = host()
    name = socket.gethostname()
    await lab.output("hostname other; true")
    assert host() == before and socket.gethostname() == name


async def test_sandbox_statistics(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "while :; do :; done")
    await lab.runtime.run(id, ["true"], 20)
    one, all_ = await lab.runtime.stats(id), await lab.runtime.sandbox_stats(pod.id)
    assert 0 < one.cpu_usage <= all_.cpu_usage and 0 < one.memory_working_set <= all_.memory_usage
    assert one.pids == 1 and all_.pids >= 1 and one.memory_rss > 0
    await lab.runtime.stop_container(id, 0)
    assert await lab.runtime.stats("nowhere") is None and await lab.runtime.sandbox_stats("nowhere") is None
