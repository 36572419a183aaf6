"""The document that the OCI runtime gets: values in, a document out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.host import capabilities, seccomp, spec, users
from sampan.host.containers import ContainerConfig, Mount, Resources, RuntimeFailure, SandboxConfig, SecurityConfig
from sampan.host.images import ImageConfig
from sampan.host.spec import DeviceNode, Machine, Place
from sampan.host.users import Identity

SANDBOX = SandboxConfig(uid="u", name="pod", namespace="default", hostname="web-0")
MACHINE = Machine(False, capabilities.NAMES)
PLACE = Place("/r", "sampan/pod/c", {"network": "/n", "pid": ""}, "/h", "/resolv", "/shm")


def build(image: ImageConfig = ImageConfig(cmd=("/x",)), machine: Machine = MACHINE, **fields: Any) -> dict[str, Any]:
    container = ContainerConfig(name="c", image="i", **fields)
    return spec.build(SANDBOX, container, image, Identity(1, 2, (3,)), PLACE, machine)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "command", "args", "expected"),
    [
        (("/e",), ("c",), None, None, ("/e", "c")),
        (("/e",), ("c",), ("/p",), None, ("/p",)),
        (("/e",), ("c",), None, ("a",), ("/e", "a")),
        (("/e",), ("c",), ("/p",), ("a",), ("/p", "a")),
        (("/e",), ("c",), (), (), ("/e", "c")),
        ((), (), None, ("a",), ("a",)),
    ],
)
def test_arguments(entrypoint: Any, cmd: Any, command: Any, args: Any, expected: Any) -> None:
    found = spec.arguments(ContainerConfig("c", "i", command=command, args=args), ImageConfig(entrypoint, cmd))
    assert found == expected


def test_nothing_to_run() -> None:
    with pytest.raises(RuntimeFailure, match="no command specified"):
        build(ImageConfig())


def test_environment() -> None:
    image = ImageConfig(cmd=("/x",), env=("A=1", "B=1", "EMPTY"))
    found = build(image, env=(("B", "2"), ("C", "=3")), tty=True)["process"]["env"]
    assert found[1:] == ["HOSTNAME=web-0", "TERM=xterm", "A=1", "B=2", "EMPTY=", "C==3"]
    assert found[0].startswith("PATH=/usr/local/sbin:")


def test_process() -> None:
    found = build(working_dir="/w")["process"]
    assert found["user"] == {"uid": 1, "gid": 2, "additionalGids": [3]}
    assert (found["cwd"], found["terminal"], found["noNewPrivileges"]) == ("/w", False, False)
    assert build(ImageConfig(cmd=("/x",), working_dir="/i"))["process"]["cwd"] == "/i"


def test_oom_score_is_clamped() -> None:
    poor = Machine(False, capabilities.NAMES, lowest_oom_score=-5)
    assert build(resources=Resources(oom_score_adj=-997), machine=poor)["process"]["oomScoreAdj"] == -5
    assert build(resources=Resources(oom_score_adj=-997))["process"]["oomScoreAdj"] == -997


def test_namespaces_and_paths() -> None:
    linux = build()["linux"]
    assert linux["namespaces"] == [{"type": "network", "path": "/n"}, {"type": "pid"}]
    assert linux["cgroupsPath"] == "/sampan/pod/c"
    assert "/proc/kcore" in linux["maskedPaths"] and "/proc/sys" in linux["readonlyPaths"]
    for security in (SecurityConfig(privileged=True), SecurityConfig(masked_paths=False)):
        assert "maskedPaths" not in build(security=security)["linux"]


def test_mounts_come_parents_first() -> None:
    wanted = (Mount("/a", "/v/deep/er"), Mount("/b", "/v/", readonly=True), Mount("/c", "//etc/./hostname"))
    found = {mount["destination"]: mount for mount in build(mounts=wanted)["mounts"]}
    order = list(found)
    assert order.index("/proc") < order.index("/v") < order.index("/dev/shm") < order.index("/v/deep/er")
    assert found["/etc/hostname"]["source"] == "/c" and found["/etc/resolv.conf"]["source"] == "/resolv"
    assert found["/v"]["options"] == ["rbind", "rprivate", "ro"]


def test_a_volume_replaces_a_system_mount() -> None:
    found = [mount for mount in build(mounts=(Mount("/dev", "/dev"),))["mounts"] if mount["destination"] == "/dev"]
    assert [mount["type"] for mount in found] == ["bind"]


@pytest.mark.parametrize(
    ("propagation", "option", "root"),
    [("private", "rprivate", "private"), ("rslave", "rslave", "rslave"), ("rshared", "rshared", "rshared")],
)
def test_propagation(propagation: Any, option: str, root: str) -> None:
    document = build(mounts=(Mount("/a", "/v", propagation=propagation, readonly=True, recursive_readonly=True),))
    assert next(each for each in document["mounts"] if each["destination"] == "/v")["options"] == [
        "rbind",
        option,
        "rro",
    ]
    assert document["linux"]["rootfsPropagation"] == root


def test_devices() -> None:
    node = DeviceNode("/dev/x", "c", 1, 3, 0o666, permissions="r")
    found = spec.resources(Resources(), False, (node,), False)["devices"]
    assert found == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
    ]
    assert spec.resources(Resources(), True, (node,), False)["devices"] == [{"allow": True, "access": "rwm"}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"capabilities_drop": ("ALL",)}, set()),
        ({"capabilities_drop": ("all",), "capabilities_add": ("net_raw", "CAP_CHOWN")}, {"NET_RAW", "CHOWN"}),
        ({"capabilities_add": ("ALL",), "capabilities_drop": ("CHOWN",)}, set(capabilities.NAMES) - {"CHOWN"}),
        ({"capabilities_add": ("ALL",), "capabilities_drop": ("ALL",)}, set()),
        ({"capabilities_drop": ("KILL", "CHOWN")}, set(capabilities.DEFAULT) - {"KILL", "CHOWN"}),
        ({"privileged": True, "capabilities_drop": ("ALL",)}, set(capabilities.NAMES)),
    ],
)
def test_capabilities(fields: dict[str, Any], expected: set[str]) -> None:
    found = capabilities.effective(SecurityConfig(**fields), capabilities.NAMES)
    assert {name.removeprefix("CAP_") for name in found} == expected


def test_capabilities_that_the_machine_withholds() -> None:
    ours = capabilities.bounding("Name:\tx\nCapBnd:\t0000000000000003\n")
    assert ours == {"CHOWN", "DAC_OVERRIDE"}
    found = capabilities.effective(SecurityConfig(privileged=True), ours)
    assert found == ("CAP_CHOWN", "CAP_DAC_OVERRIDE")


PASSWD = "root:x:0:0::/:/bin/sh\nbroken\nweb:x:1000:1001::/:/bin/sh\nodd:x:a:b::/:\n"
GROUP = "root:x:0:\nweb:x:1001:\nextra:x:2000:web,other\nmore:x:2001:other\n"


def identify(tmp_path: Path, image_user: str = "", **fields: Any) -> Identity:
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return users.resolve(str(tmp_path), image_user, SecurityConfig(**fields))


def test_users(tmp_path: Path) -> None:
    assert identify(tmp_path) == Identity(0, 0, (0,))
    assert identify(tmp_path, "web") == Identity(1000, 1001, (1001, 2000))
    assert identify(tmp_path, "web:extra") == Identity(1000, 2000, (2000,))
    assert identify(tmp_path, "77:88") == Identity(77, 88, (88,))
    assert identify(tmp_path, "web", user=5) == Identity(5, 0, (0,))
    assert identify(tmp_path, "web", username="root", supplemental_groups=(9, 9)) == Identity(0, 0, (0, 9))
    strict = identify(tmp_path, "web", supplemental_groups=(9,), supplemental_groups_strict=True)
    assert strict == Identity(1000, 1001, (1001, 9))
    for user, words in (("odd", "user odd"), ("web:none", "group none"), ("4294967296", "out of range")):
        with pytest.raises(RuntimeFailure, match=words):
            identify(tmp_path, user)


def test_passwd_behind_links_stays_inside(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("evil:x:1:1::/:\n")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for target in (str(secret), "../../secret", "/etc/loop"):
        (root / "etc/passwd").unlink(missing_ok=True)
        (root / "etc/passwd").symlink_to(target)
        assert users.read_inside(str(root), "etc/passwd") == ""
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").mkdir()
    assert users.read_inside(str(root), "etc/passwd") == ""


def test_seccomp_profiles(tmp_path: Path) -> None:
    for name, privileged in (("Unconfined", False), ("RuntimeDefault", True), ("", False)):
        assert seccomp.profile(name, privileged, (), "x86_64") is None
    default = seccomp.profile("RuntimeDefault", False, (), "x86_64")
    assert default is not None and default["defaultAction"] == "SCMP_ACT_ERRNO"
    plain = set(default["syscalls"][0]["names"])
    assert {"openat", "execve", "futex", "clone3"} - plain == {"clone3"} and not {"mount", "bpf", "reboot"} & plain
    strong = seccomp.profile("RuntimeDefault", False, ("CAP_SYS_ADMIN",), "x86_64")
    assert strong is not None and {"mount", "unshare", "clone3"} <= set(strong["syscalls"][0]["names"])
    for text in ("[]", "{}", "{"):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(RuntimeFailure, match="cannot load seccomp profile"):
            seccomp.profile(str(tmp_path / "p.json"), False, (), "x86_64")
