"""Limits and figures: on this machine's hierarchies for real, and the files of cgroup v2 in a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.host import cgroups, spec
from sampan.host.cgroups import Hierarchies
from sampan.host.containers import Resources, RuntimeFailure, Stats
from tests.host.lab import Lab

LIMITS = Resources(cpu_shares=512, cpu_quota=50_000, cpu_period=100_000, memory_limit=64 << 20, pids_limit=50)


def read(lab: Lab, path: str, file: str) -> str:
    controller = file.split(".")[0]
    directory = lab.runtime.engine.hierarchies.controllers[controller]
    return Path(directory, path, file).read_text().strip()


def v1(lab: Lab) -> None:
    if lab.runtime.engine.hierarchies.unified:
        pytest.skip("this machine has cgroup v2")


@pytest.mark.kernel
async def test_limits_of_a_container(lab: Lab) -> None:
    v1(lab)
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "sleep 1000", resources=LIMITS)
    path = lab.runtime.engine.layout.cgroup(pod.config.cgroup, id)

    def limits() -> list[str]:
        files = ("cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes", "pids.max")
        return [read(lab, path, file) for file in files]

    assert limits() == ["512", "50000", str(64 << 20), "50"]
    await lab.runtime.update_resources(id, Resources(cpu_shares=256, cpu_quota=20_000, memory_limit=128 << 20))
    assert limits() == ["256", "20000", str(128 << 20), "max"]
    assert (await lab.runtime.container(id)).config.resources.memory_limit == 128 << 20
    await lab.runtime.update_resources(id, Resources())
    assert limits()[:2] == ["1024", "-1"] and int(limits()[2]) > 1 << 60
    with pytest.raises(RuntimeFailure, match="cannot change the limits") as raised:
        await lab.runtime.update_resources(id, Resources(memory_limit=4096))
    assert raised.value.reason == "ResizeError"
    await lab.runtime.stop_container(id, 0)
    with pytest.raises(RuntimeFailure, match="is not running"):
        await lab.runtime.update_resources(id, Resources())


@pytest.mark.kernel
async def test_limits_of_a_pod(lab: Lab) -> None:
    v1(lab)
    pod = await lab.run_sandbox(resources=LIMITS)
    path = lab.runtime.engine.layout.cgroup(pod.config.cgroup)
    assert read(lab, path, "cpu.shares") == "512" and read(lab, path, "memory.limit_in_bytes") == str(64 << 20)


@pytest.mark.kernel
async def test_process_limit_holds(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.3 & done"
    ended = await lab.exited(await lab.start(pod, script, resources=Resources(pids_limit=4)))
    assert "can't fork" in lab.log(pod, ended.config)


@pytest.mark.kernel
async def test_sandboxes_of_one_pod_share_its_cgroup(lab: Lab) -> None:
    """The next attempt's sandbox is made before the last one's is removed."""
    first = await lab.run_sandbox()
    second = await lab.runtime.run_sandbox(first.config)
    await lab.runtime.remove_sandbox(first.id)
    ended = await lab.exited(await lab.start(second, "exit 3"))
    assert ended.exit_code == 3
    await lab.runtime.remove_sandbox(second.id)
    assert lab.leftovers(live=True) == []


@pytest.fixture
def unified(tmp_path: Path) -> Hierarchies:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return cgroups.detect(str(tmp_path))


def test_v2_is_detected(unified: Hierarchies, tmp_path: Path) -> None:
    assert unified == Hierarchies(True, str(tmp_path), (str(tmp_path),), {})


def test_v2_limits(unified: Hierarchies, tmp_path: Path) -> None:
    cgroups.create(unified, "sampan/burstable/pod1", LIMITS)
    for level in ("", "sampan", "sampan/burstable", "sampan/burstable/pod1"):
        assert (tmp_path / level / "cgroup.subtree_control").read_text() == "+cpu +memory +pids +io +cpuset"
    pod = tmp_path / "sampan/burstable/pod1"
    assert (pod / "cpu.weight").read_text() == "20"
    assert (pod / "cpu.max").read_text() == "50000 100000"
    assert (pod / "memory.max").read_text() == str(64 << 20)
    assert (pod / "pids.max").read_text() == "50"
    cgroups.limit(unified, "sampan/burstable/pod1", Resources())
    assert [(pod / name).read_text() for name in ("cpu.weight", "cpu.max", "memory.max", "pids.max")] == [
        "100", "max 100000", "max", "max",
    ]  # fmt: skip


@pytest.mark.parametrize(("shares", "weight"), [(0, 100), (2, 1), (1024, 39), (262_144, 10_000), (9_999_999, 10_000)])
def test_v2_weight(shares: int, weight: int) -> None:
    assert cgroups.weight(shares) == weight


def test_v2_figures(unified: Hierarchies, tmp_path: Path) -> None:
    group = tmp_path / "a"
    group.mkdir()
    assert cgroups.stats(unified, "a") is None
    (group / "memory.current").write_text("5000\n")
    (group / "memory.stat").write_text("anon 3000\ninactive_file 1000\n")
    (group / "cpu.stat").write_text("usage_usec 7\nuser_usec 5\n")
    (group / "pids.current").write_text("3\n")
    (group / "memory.events").write_text("oom 2\noom_kill 1\n")
    found = cgroups.stats(unified, "a")
    assert found is not None
    assert found == Stats(found.at, 7000, 5000, 4000, 3000, 3)
    assert cgroups.oom_kills(unified, "a") == 1


def test_v2_kills_in_one_go(unified: Hierarchies, tmp_path: Path) -> None:
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    (tmp_path / "a" / "cgroup.kill").write_text("")
    (tmp_path / "a" / "cgroup.procs").write_text("")
    (group / "cgroup.procs").write_text("5\n7\n")
    assert cgroups.processes(unified, "a") == {5, 7}
    assert cgroups.kill(unified, "a") == 2
    assert (tmp_path / "a" / "cgroup.kill").read_text() == "1"
    assert cgroups.tree(unified, "a") == ["a/b", "a"]


def test_v2_specification() -> None:
    found = spec.resources(LIMITS, False, (), True)
    assert found["memory"] == {"limit": 64 << 20, "swap": 64 << 20}
    assert found["unified"] == {"memory.oom.group": "1"}
    v1_found = spec.resources(LIMITS, False, (), False)
    assert "unified" not in v1_found and v1_found["memory"] == {"limit": 64 << 20}


def test_v1_hierarchies_with_two_controllers_each(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "memory", "unified"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    os.symlink("cpu,cpuacct", tmp_path / "cpu")
    os.symlink("cpu,cpuacct", tmp_path / "cpuacct")
    (tmp_path / "odd").mkdir()
    found = cgroups.detect(str(tmp_path))
    assert not found.unified and len(found.directories) == 3
    assert found.controllers["cpu"] == found.controllers["cpuacct"] == str(tmp_path / "cpu,cpuacct")


def test_refused_limits_say_what_and_where(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    with pytest.raises(OSError, match=r"write 39 to .*/absent/cpu.weight: no such file or directory"):
        cgroups.limit(cgroups.detect(str(tmp_path)), "absent", Resources(cpu_shares=1024))
