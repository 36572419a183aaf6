from __future__ import annotations

from typing import Any

import pytest

from sampan.apiserver.admission.podsecurity import PodSecurity
from sampan.apiserver.admission.standards import CHECKS
from tests.apiserver_security.memory import Memory, make
from tests.apiserver_security.writing import ask, pod, run

SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def judge(asked: Any, **labels: str) -> str:
    named = {f"pod-security.kubernetes.io/{mode.replace('_', '-')}": level for mode, level in labels.items()}
    plugin = PodSecurity(Memory(make("Namespace", "shop", meta={"labels": named})))
    return run(plugin, asked)


def safe(**spec: Any) -> dict[str, Any]:
    return pod(**{"containers": [{"name": "c", "image": "x", "securityContext": dict(SAFE)}], **spec})


def with_context(**context: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "x", "securityContext": {**SAFE, **context}}])


def test_an_unlabelled_namespace_takes_everything() -> None:
    assert judge(ask(pod(hostNetwork=True, hostPID=True))) == ""
    assert judge(ask(pod(hostNetwork=True)), enforce="privileged") == ""


def test_an_ordinary_pod_is_baseline_and_not_restricted() -> None:
    assert judge(ask(pod()), enforce="baseline") == ""
    assert judge(ask(pod()), enforce="restricted") == (
        'pods "web" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" '
        'or "Localhost")'
    )
    assert judge(ask(safe()), enforce="restricted") == ""


def test_several_containers_are_listed() -> None:
    two = pod(containers=[{"name": n, "image": "x", "securityContext": {"privileged": True}} for n in "ab"])
    assert judge(ask(two), enforce="baseline", enforce_version="v1.30") == (
        'pods "web" is forbidden: violates PodSecurity "baseline:v1.30": '
        'privileged (containers "a", "b" must not set securityContext.privileged=true)'
    )


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (safe(hostNetwork=True, hostIPC=True), "host namespaces (hostNetwork=true, hostIPC=true)"),
        (
            safe(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'hostPath volumes (volume "v")',
        ),
        (
            safe(
                containers=[
                    {
                        "name": "c",
                        "image": "x",
                        "ports": [{"containerPort": 80, "hostPort": 80}],
                        "securityContext": SAFE,
                    }
                ]
            ),
            'hostPort (container "c" uses hostPort 80)',
        ),
        (
            with_context(capabilities={"add": ["NET_ADMIN", "CHOWN"]}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        (
            with_context(procMount="Unmasked"),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            with_context(seLinuxOptions={"type": "spc_t", "user": "u"}),
            'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; '
            "user may not be set)",
        ),
        (
            with_context(seccompProfile={"type": "Unconfined"}),
            'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            safe(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            safe(securityContext={"windowsOptions": {"hostProcess": True}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            with_context(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            safe(
                containers=[
                    {
                        "name": "c",
                        "image": "x",
                        "securityContext": SAFE,
                        "livenessProbe": {"tcpSocket": {"port": 1, "host": "h"}},
                    }
                ]
            ),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "h")',
        ),
    ],
)
def test_what_baseline_forbids(document, reason) -> None:
    assert judge(ask(document), enforce="baseline").endswith(f'"baseline:latest": {reason}')
    assert judge(ask(document), enforce="restricted") != ""


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (
            safe(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        (
            safe(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        ),
        (with_context(runAsUser=0), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
        (
            with_context(runAsNonRoot=False),
            'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            with_context(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
            'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
    ],
)
def test_what_restricted_forbids_besides(document, reason) -> None:
    assert judge(ask(document), enforce="restricted").endswith(f'"restricted:latest": {reason}')


def test_the_pods_context_speaks_for_its_containers() -> None:
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    document = pod(securityContext=context, containers=[{"name": "c", "image": "x", "securityContext": container}])
    assert judge(ask(document), enforce="restricted") == ""


def test_warnings_reach_the_client_and_the_write_passes() -> None:
    asked = ask(pod(hostNetwork=True))
    assert judge(asked, warn="baseline") == ""
    assert asked.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']


def test_templates_are_warned_about_and_never_refused() -> None:
    template = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "x"}], "hostPID": True}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    asked = ask(make("Deployment", "web", "shop", api="apps/v1", spec=spec))
    assert judge(asked, enforce="baseline", warn="baseline") == ""
    assert asked.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)']
    job = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}
    asked = ask(make("CronJob", "web", "shop", api="batch/v1", spec=job))
    assert judge(asked, warn="baseline") == "" and len(asked.warnings) == 1


def test_changes_that_do_not_matter_pass() -> None:
    bad = pod(hostNetwork=True)
    labelled = pod(hostNetwork=True, meta={"labels": {"a": "b"}})
    assert judge(ask(labelled, "UPDATE", old=bad), enforce="baseline") == ""
    other = pod(hostNetwork=True, containers=[{"name": "c", "image": "y"}])
    assert judge(ask(other, "UPDATE", old=bad), enforce="baseline") != ""
    assert judge(ask(bad, "UPDATE", old=bad, sub="status"), enforce="baseline") == ""


def test_labels_must_say_something_known() -> None:
    prefix = "pod-security.kubernetes.io/"
    labels = {f"{prefix}enforce": "strict", f"{prefix}warn-version": "1.30", f"{prefix}audit": "baseline"}
    namespace = make("Namespace", "shop", meta={"labels": labels})
    assert judge(ask(namespace)) == (
        f'Namespace "shop" is invalid: [metadata.labels[{prefix}enforce]: Invalid value: "strict": must be one of '
        f'privileged, baseline, restricted, metadata.labels[{prefix}warn-version]: Invalid value: "1.30": '
        'must be "latest" or "v1.x"]'
    )
    assert judge(ask(namespace, "UPDATE", old=namespace)) == "", "what was there before stays"
    assert judge(ask(pod()), enforce="strict").startswith(
        'pods "web" is forbidden: violates PodSecurity "restricted:latest"'
    )


def test_a_stricter_check_replaces_its_milder_one() -> None:
    assert sum(check.replaced for check in CHECKS) == 3
    document = safe(volumes=[{"name": "v", "hostPath": {"path": "/"}}])
    assert "hostPath volumes" not in judge(ask(document), enforce="restricted")
