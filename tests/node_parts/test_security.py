from __future__ import annotations

import re

import pytest

from sampan.api.types import core_v1
from sampan.host.containers import Image, SecurityConfig
from sampan.node.contracts import CreateContainerConfigError
from sampan.node.security import Security
from tests.node_parts.pods import UID, pod

SETTINGS = Security("/var/lib/sampan/seccomp")


def config(container: str = "{}", whole: str = "{}", user: str = "") -> SecurityConfig:
    one = pod(f"securityContext: {whole}\ncontainers: [{{name: c, image: i, securityContext: {container}}}]")
    return SETTINGS(one, one.spec.containers[0], Image("sha256:0", (), (), 0, 0.0, user))


def test_the_container_goes_before_the_pod() -> None:
    found = config("{runAsUser: 7}", "{runAsUser: 5, runAsGroup: 6}")
    assert (found.user, found.group) == (7, 6)


def test_without_any_wish_the_image_decides() -> None:
    found = config(user="nginx")
    assert (found.user, found.username) == (None, "nginx")


def test_the_volumes_group_is_one_of_the_containers() -> None:
    found = config(whole="{supplementalGroups: [10, 20], fsGroup: 20}")
    assert found.supplemental_groups == (10, 20)
    assert config(whole="{fsGroup: 0}").supplemental_groups == (0,)


WHERE = f'(pod: "web_default({UID})", container: c)'


@pytest.mark.parametrize(
    ("container", "user", "message"),
    [
        ("{runAsNonRoot: true}", "", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ("{runAsNonRoot: true}", "0", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ("{runAsNonRoot: true}", "0:5", f"container has runAsNonRoot and image will run as root {WHERE}"),
        (
            "{runAsNonRoot: true}",
            "nginx",
            "container has runAsNonRoot and image has non-numeric user (nginx), "
            f"cannot verify user is non-root {WHERE}",
        ),
        ("{runAsNonRoot: true, runAsUser: 0}", "1000", f"container's runAsUser breaks non-root policy {WHERE}"),
    ],
)
def test_who_must_not_be_root_does_not_start_as_root(container: str, user: str, message: str) -> None:
    with pytest.raises(CreateContainerConfigError, match=re.escape(message)):
        config(container, user=user)


@pytest.mark.parametrize(("container", "user"), [("{runAsUser: 9}", ""), ("{}", "1000"), ("{}", "1000:0")])
def test_who_is_not_root_may_start(container: str, user: str) -> None:
    assert config(container, "{runAsNonRoot: true}", user)


def test_the_container_may_waive_what_the_pod_demands() -> None:
    assert config("{runAsNonRoot: false}", "{runAsNonRoot: true}").user is None


def test_capabilities_come_without_their_prefix() -> None:
    found = config("{capabilities: {add: [CAP_NET_ADMIN, sys_time], drop: [ALL]}}")
    assert found.capabilities_add == ("NET_ADMIN", "SYS_TIME")
    assert found.capabilities_drop == ("ALL",)


def test_no_escalation_sets_no_new_privileges() -> None:
    assert config("{allowPrivilegeEscalation: false}").no_new_privileges
    assert not config("{allowPrivilegeEscalation: true}").no_new_privileges
    assert not config().no_new_privileges


def test_a_privileged_container_is_not_confined() -> None:
    found = config("{privileged: true, seccompProfile: {type: RuntimeDefault}}")
    assert (found.privileged, found.seccomp, found.masked_paths) == (True, "Unconfined", False)


@pytest.mark.parametrize(
    ("container", "whole", "seccomp"),
    [
        ("{}", "{}", "RuntimeDefault"),
        ("{}", "{seccompProfile: {type: Unconfined}}", "Unconfined"),
        ("{seccompProfile: {type: RuntimeDefault}}", "{seccompProfile: {type: Unconfined}}", "RuntimeDefault"),
        (
            "{seccompProfile: {type: Localhost, localhostProfile: a/b.json}}",
            "{}",
            "/var/lib/sampan/seccomp/a/b.json",
        ),
    ],
)
def test_seccomp_profiles(container: str, whole: str, seccomp: str) -> None:
    assert config(container, whole).seccomp == seccomp


def test_a_profile_lies_in_the_nodes_directory() -> None:
    with pytest.raises(CreateContainerConfigError, match="below /var/lib/sampan/seccomp"):
        config("{seccompProfile: {type: Localhost, localhostProfile: ../../etc/passwd}}")


def test_proc_is_masked_unless_asked_otherwise() -> None:
    assert config().masked_paths
    assert not config("{procMount: Unmasked}").masked_paths


def test_ephemeral_containers_have_contexts_too() -> None:
    one = pod("containers: [{name: c, image: i}]")
    debugger = core_v1.EphemeralContainer(name="d", securityContext=core_v1.SecurityContext(runAsUser=3))
    assert SETTINGS(one, debugger, Image("sha256:0", (), (), 0, 0.0)).user == 3
