"""What a container may do: users, capabilities, system calls, paths and devices."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sampan.host.containers import Device, Resources, RuntimeFailure
from tests.host.lab import Lab, security

pytestmark = pytest.mark.kernel
WHO = "id -u; id -g; id -G"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "0 0 0"),
        ({"user": 1000}, "1000 1001 1001 2000"),
        ({"user": 1000, "supplemental_groups_strict": True}, "1000 1001 1001"),
        ({"user": 4321}, "4321 0 0"),
        ({"user": 4321, "group": 77, "supplemental_groups": (88, 99)}, "4321 77 77 88 99"),
        ({"username": "web"}, "1000 1001 1001 2000"),
        ({"username": "web", "group": 5}, "1000 5 5 2000"),
        ({"supplemental_groups": (88,)}, "0 0 0 88"),
    ],
)
async def test_identity(lab: Lab, fields: dict[str, object], words: str) -> None:
    output = await lab.output(WHO, security=security(**fields))
    assert output.split() == words.split()


async def test_identity_is_told(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    found = await lab.exited(await lab.start(pod, "exit 0", security=security(username="web")))
    assert (found.user, found.groups) == (1000, (1001, 2000))


async def test_unknown_user(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="unable to find user nobody: no matching entries") as raised:
        await lab.start(pod, "exit 0", security=security(username="nobody"))
    assert raised.value.reason == "CreateContainerError"


CAPS = "grep Cap /proc/self/status"


def masks(output: str) -> dict[str, int]:
    return {line.split(":")[0]: int(line.split()[1], 16) for line in output.splitlines()}


async def test_default_capabilities(lab: Lab) -> None:
    found = masks(await lab.output(CAPS))
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"] == 0xA80425FB
    assert found["CapInh"] == found["CapAmb"] == 0


async def test_added_and_dropped_capabilities(lab: Lab) -> None:
    dropped = masks(await lab.output(CAPS, security=security(capabilities_drop=("ALL",), capabilities_add=("CHOWN",))))
    assert dropped["CapBnd"] == 1
    added = masks(await lab.output(CAPS, security=security(capabilities_add=("NET_ADMIN",))))
    assert added["CapBnd"] == 0xA80425FB | 1 << 12
    lost = await lab.output(
        "touch /data/x; chown 1 /data/x 2>/dev/null || echo refused", security=security(capabilities_drop=("CHOWN",))
    )
    assert lost == "refused\n"


async def test_unprivileged_user_has_no_effective_capabilities(lab: Lab) -> None:
    found = masks(await lab.output(CAPS, security=security(user=1000)))
    assert found["CapEff"] == found["CapPrm"] == 0


async def test_seccomp_blocks(lab: Lab) -> None:
    """Capabilities alone would allow these; with RuntimeDefault the kernel refuses the call itself."""
    script = (
        "grep Seccomp: /proc/self/status; mkdir -p /data/m;"
        "mount -t tmpfs none /data/m 2>&1 | grep -cE 'not permitted|denied';"
        "unshare -m true 2>&1 | grep -cE 'not permitted|denied'; exit 0"
    )
    sys_admin = security(capabilities_add=("SYS_ADMIN",), seccomp=str(await only(lab, "mount", "unshare")))
    assert (await lab.output(script, security=sys_admin)).split() == ["Seccomp:", "2", "1", "1"]
    assert (await lab.output(script)).split() == ["Seccomp:", "2", "1", "1"]
    free = security(capabilities_add=("SYS_ADMIN",), seccomp="Unconfined")
    assert (await lab.output(script, security=free)).split() == ["Seccomp:", "0", "0", "0"]


async def only(lab: Lab, *names: str) -> Path:
    """A profile of the node's own that refuses some system calls."""
    path = lab.root / "profile.json"
    rules = [{"names": list(names), "action": "SCMP_ACT_ERRNO"}]
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    return path


async def test_user_namespaces_are_refused_by_seccomp(lab: Lab) -> None:
    """An unprivileged process could make one; the filter is all that stops it."""
    script = "unshare -U true 2>/dev/null && echo made || echo refused"
    assert (await lab.output(script, security=security(user=1000))).split()[-1] == "refused"
    assert (await lab.output(script, security=security(user=1000, seccomp="Unconfined"))).split()[-1] == "made"


async def test_seccomp_profile_that_is_missing(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="cannot load seccomp profile"):
        await lab.start(pod, "exit 0", security=security(seccomp="/absent.json"))


async def test_no_new_privileges(lab: Lab) -> None:
    script = "grep NoNewPrivs /proc/self/status"
    assert (await lab.output(script)).split() == ["NoNewPrivs:", "0"]
    assert (await lab.output(script, security=security(no_new_privileges=True))).split() == ["NoNewPrivs:", "1"]


async def test_readonly_root(lab: Lab) -> None:
    script = "touch /data/x 2>&1 | grep -c 'Read-only'; touch /dev/shm/x && echo shm; exit 0"
    assert await lab.output(script, security=security(readonly_rootfs=True)) == "1\nshm\n"
    assert await lab.output(script) == "0\nshm\n"


async def test_masked_and_readonly_paths(lab: Lab) -> None:
    script = (
        "wc -c < /proc/keys; ls /sys/firmware | wc -l;"
        "echo 1 2>/dev/null > /proc/sys/kernel/panic && echo written || echo kept;"
        "mkdir $(dirname $(find /sys/fs/cgroup -name cgroup.procs | head -n 1))/x 2>/dev/null && echo made || echo kept"
    )
    assert (await lab.output(script)).split() == ["0", "0", "kept", "kept"]
    open_ = (await lab.output("grep -c ' /proc/' /proc/mounts; exit 0", security=security(masked_paths=False))).split()
    assert open_ == ["0"]


async def test_privileged(lab: Lab) -> None:
    script = (
        "grep Seccomp: /proc/self/status; grep -c ' /proc/' /proc/mounts; mount -t tmpfs none /data && echo mounted;"
        "mknod /tmp/null c 1 3 && echo > /tmp/null && echo device; touch /sys/fs/cgroup/x 2>&1 | grep -c Read-only"
    )
    words = (await lab.output(f"{script}; exit 0", security=security(privileged=True))).split()
    assert words == ["Seccomp:", "0", "0", "mounted", "device", "0"]


async def test_devices_of_the_container(lab: Lab) -> None:
    output = await lab.output("ls /dev; head -c 2 /dev/zero | wc -c; echo x > /dev/full 2>&1 || echo full")
    names = output.split()
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin"} <= set(names)
    assert names[-2:] == ["2", "full"] and "kmsg" not in names


async def test_given_devices(lab: Lab) -> None:
    device = Device("/dev/null", "/dev/mine", "r")
    script = "stat -c '%t:%T' /dev/mine; cat /dev/mine && echo read; echo x > /dev/mine 2>/dev/null || echo refused"
    output = (await lab.output(script, devices=(device,))).split()
    assert output[:2] == ["1:3", "read"]
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="/etc/passwd is not a device"):
        await lab.start(pod, "exit 0", devices=(Device("/etc/passwd", "/dev/x"),))


async def test_device_nodes_are_confined(lab: Lab) -> None:
    """MKNOD is a default capability; the device cgroup still keeps the disk away."""
    disk = next((name for name in os.listdir("/sys/block")), "")
    if not disk:
        pytest.skip("this machine has no block device")
    number = Path(f"/sys/block/{disk}/dev").read_text().strip().replace(":", " ")
    script = (
        f"mknod /tmp/disk b {number} 2>/dev/null; head -c 1 /tmp/disk >/dev/null 2>/tmp/why && echo read || echo no"
    )
    assert await lab.output(script) == "no\n"


async def test_oom_score(lab: Lab) -> None:
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    high = await lab.output("cat /proc/self/oom_score_adj", resources=Resources(oom_score_adj=900))
    assert int(high) == 900
    low = await lab.output("cat /proc/self/oom_score_adj", resources=Resources(oom_score_adj=-997))
    assert int(low) in (-997, ours)


async def test_unknown_capability(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="unknown capability 'FLY'"):
        await lab.start(pod, "exit 0", security=security(capabilities_add=("FLY",)))
    assert [each.state for each in await lab.runtime.containers()] == ["exited"]
