"""What a container sees of files: its image, the pod's files, mounts and volumes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sampan.host import mounts
from sampan.host.containers import DNSConfig, Mount, RuntimeFailure
from sampan.images import make
from tests.host.lab import Lab, add_image, fill, security

pytestmark = pytest.mark.kernel


async def test_root_is_the_containers_own(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    await lab.exited(await lab.start(pod, "echo mine > /data/x; rm /etc/group"))
    assert await lab.output("ls /data; test -e /etc/group && echo whole") == "whole\n"


async def test_image_settings(lab: Lab) -> None:
    await add_image(
        lab.images, "sampan.test/settings:1", Entrypoint=["/bin/sh", "-c"], Cmd=["echo default"], WorkingDir="/data",
        User="web:2000", Env=["PATH=/bin", "A=image", "B=image"],
    )  # fmt: skip

    async def output(**fields: object) -> list[str]:
        fields = {"command": None, "image": "sampan.test/settings:1", **fields}
        return (await lab.output("", **fields)).split()

    assert await output() == ["default"]
    assert await output(args=("pwd; id -u; id -g; echo $A $B $C",)) == ["/data", "1000", "2000", "image", "image"]
    given = await output(args=("echo $A $B $C",), env=(("A", "pod"), ("C", "pod")))
    assert given == ["pod", "image", "pod"]
    assert await output(command=("/bin/echo",)) == []
    assert await output(command=("/bin/echo",), args=("x",), working_dir="/tmp") == ["x"]


async def test_working_directory_is_made(lab: Lab) -> None:
    assert await lab.output("pwd", working_dir="/made/for/me") == "/made/for/me\n"


async def test_bind_mounts(lab: Lab) -> None:
    (lab.root / "volume" / "sub").mkdir(parents=True)
    (lab.root / "volume" / "file").write_text("content\n")
    volume = str(lab.root / "volume")
    output = await lab.output(
        "cat /v/file; touch /v/new; touch /r/new 2>/dev/null || echo readonly; cat /one; ls -d /v/sub/deep",
        mounts=(
            Mount(f"{volume}", "/v/sub/deep", readonly=True),
            Mount(volume, "/v"),
            Mount(volume, "/r", readonly=True),
            Mount(f"{volume}/file", "/one"),
        ),
    )
    assert output == "content\nreadonly\ncontent\n/v/sub/deep\n"
    assert (lab.root / "volume" / "new").exists()


async def test_mount_that_is_missing(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="failed to mount '/absent/x': no such file or directory"):
        await lab.start(pod, "exit 0", mounts=(Mount("/absent/x", "/x"),))


async def test_mounts_over_what_is_there(lab: Lab) -> None:
    hosts = lab.root / "hosts"
    hosts.write_text("127.0.0.1 localhost\n10.9.9.2 pod\n")
    (lab.root / "shm").mkdir()
    output = await lab.output(
        "cat /etc/hosts; echo x > /dev/shm/x; touch /etc/passwd 2>/dev/null || echo kept",
        mounts=(
            Mount(str(hosts), "/etc/hosts"),
            Mount(str(lab.root / "shm"), "/dev/shm"),
            Mount(str(hosts), "/etc/passwd", readonly=True),
        ),
    )
    assert output == "127.0.0.1 localhost\n10.9.9.2 pod\nkept\n"
    assert (lab.root / "shm" / "x").read_text() == "x\n"


async def test_recursive_readonly(lab: Lab) -> None:
    volume = lab.root / "volume"
    (volume / "inner").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(volume / "inner")], check=True)
    try:
        script = "touch /v/inner/x 2>/dev/null && echo written || echo kept"
        mount = Mount(str(volume), "/v", readonly=True)
        assert await lab.output(script, mounts=(mount,)) == "written\n"
        assert await lab.output(script, mounts=(replace(mount, recursive_readonly=True),)) == "kept\n"
    finally:
        subprocess.run(["umount", str(volume / "inner")], check=True)


async def test_propagation(lab: Lab) -> None:
    """HostToContainer brings later mounts of the host, Bidirectional those of the container to the host."""
    volume = lab.root / "volume"
    (volume / "in").mkdir(parents=True)
    (volume / "out").mkdir()
    subprocess.run(["mount", "--bind", str(volume), str(volume)], check=True)
    subprocess.run(["mount", "--make-shared", str(volume)], check=True)
    try:
        pod = await lab.run_sandbox()
        ids = {
            kind: await lab.start(
                pod, "while :; do sleep 1000; done", name=kind, log_path=f"{kind}/0.log",
                mounts=(Mount(str(volume), "/v", propagation=kind),), security=security(privileged=True),
            )
            for kind in ("private", "rslave", "rshared")
        }  # fmt: skip
        subprocess.run(["mount", "-t", "tmpfs", "none", str(volume / "in")], check=True)
        (volume / "in" / "late").touch()
        seen = {}
        for kind, id in ids.items():
            seen[kind] = (await lab.runtime.run(id, ["ls", "/v/in"], 20)).stdout.decode().split()
            await lab.runtime.run(id, ["mount", "-t", "tmpfs", "none", "/v/out"], 20)
            await lab.runtime.run(id, ["touch", f"/v/out/{kind}"], 20)
        assert seen == {"private": [], "rslave": ["late"], "rshared": ["late"]}
        assert [path.name for path in (volume / "out").iterdir()] == ["rshared"]
        await lab.runtime.remove_sandbox(pod.id)
    finally:
        subprocess.run(["umount", "-R", str(volume)], check=True)


async def test_dns_and_hostname(lab: Lab) -> None:
    dns = DNSConfig(("10.96.0.10",), ("default.svc.cluster.local", "svc.cluster.local"), ("ndots:5", "edns0"))
    output = await lab.output(
        "cat /etc/resolv.conf /etc/hostname; hostname; echo $HOSTNAME", lab.sandbox(dns=dns, hostname="web-0")
    )
    assert output == (
        "search default.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5 edns0\n"
        "web-0\nweb-0\nweb-0\n"
    )


async def test_dns_of_the_host(lab: Lab) -> None:
    assert await lab.output("cat /etc/resolv.conf") == Path("/etc/resolv.conf").read_text()


async def test_pod_files_are_readonly_in_a_readonly_root(lab: Lab) -> None:
    script = "echo x 2>/dev/null > /etc/resolv.conf && echo written || echo kept"
    assert await lab.output(script) == "written\n"
    assert await lab.output(script, security=security(readonly_rootfs=True)) == "kept\n"


async def test_shared_memory_is_the_pods(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    await lab.exited(await lab.start(pod, "echo hello > /dev/shm/x", name="a", log_path="a/0.log"))
    reader = await lab.exited(await lab.start(pod, "cat /dev/shm/x; df -k /dev/shm | tail -1 | awk '{print $2}'"))
    assert lab.log(pod, reader.config) == "hello\n65536\n"


async def test_image_volume(lab: Lab) -> None:
    await add_image(lab.images, "sampan.test/volume:1")
    script = "cat /v/etc/group | head -1; ls /p; touch /v/x 2>/dev/null || echo readonly"
    volume = Mount("", "/v", image="sampan.test/volume:1")
    part = Mount("", "/p", image="sampan.test/volume:1", image_sub_path="etc")
    assert await lab.output(script, mounts=(volume, part)) == "root:x:0:\ngroup\npasswd\nreadonly\n"
    assert lab.leftovers(live=True) == []


async def test_image_volume_that_is_missing(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="image 'nowhere/x:1' of a volume not found") as raised:
        await lab.start(pod, "exit 0", mounts=(Mount("", "/v", image="nowhere/x:1"),))
    assert raised.value.reason == "ImageVolumeMountFailed"
    for path in ("absent", "../../../../../../etc/shadow"):
        with pytest.raises(RuntimeFailure, match=r"has no .*: no such file or directory"):
            await lab.start(
                pod, "exit 0", mounts=(Mount("", "/v", image="sampan.test/busybox:1", image_sub_path=path),)
            )
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_declared_volumes_stay_writable(lab: Lab) -> None:
    await add_image(lab.images, "sampan.test/declared:1", Volumes={"/data": {}, "/not/yet": {}, "/etc/": {}})
    (lab.root / "given").mkdir()
    output = await lab.output(
        "touch /data/x /not/yet/x && echo yes; touch /x 2>/dev/null || echo no; ls /etc",
        image="sampan.test/declared:1",
        security=security(readonly_rootfs=True),
        mounts=(Mount(str(lab.root / "given"), "/etc"),),
    )
    assert output == "yes\nno\nhostname\nresolv.conf\n"


async def test_volume_behind_a_link_stays_inside(lab: Lab) -> None:
    outside = lab.root / "outside"
    outside.mkdir()
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory))
        (Path(directory) / "escape").symlink_to(outside)
        await make.from_directory(
            lab.images, directory, "sampan.test/escape:1", {"Cmd": ["/bin/true"], "Volumes": {"/escape/made": {}}}
        )
    pod = await lab.run_sandbox()
    with pytest.raises(RuntimeFailure, match="the image's volume '/escape/made'"):
        await lab.start(pod, "", command=("/bin/true",), image="sampan.test/escape:1")
    assert list(outside.iterdir()) == []


async def test_many_layers(lab: Lab) -> None:
    """More lower directories than one page of mount options has room for."""
    layers = []
    for number in range(120):
        layer = lab.root / "layers" / f"{number:024d}"
        layer.mkdir(parents=True)
        (layer / f"f{number}").touch()
        layers.append(str(layer))
    upper, work, target = (lab.root / name for name in ("upper", "work", "target"))
    for path in (upper, work, target):
        path.mkdir()
    here = os.getcwd()
    mounts.overlay(str(target), layers, str(upper), str(work))
    assert len(list(target.iterdir())) == 120 and os.getcwd() == here
    assert mounts.unmount(str(target)) and not mounts.unmount(str(target))
    assert not mounts.unmount("/absent/place")
