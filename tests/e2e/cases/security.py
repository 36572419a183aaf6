"""Users, groups, capabilities, seccomp, read-only roots, sysctls."""

from __future__ import annotations

from tests.e2e.cases.case import NODE, Case, says


def security() -> list[Case]:
    group = "[sig-node] Security Context"
    return [
        Case(
            "run-as-user",
            {"containers": [says("id -u", securityContext={"runAsUser": 65534})]},
            "65534\n",
            covers=[
                f"{group} When creating a container with runAsUser should run the container with uid 65534 [LinuxOnly] [Conformance] {NODE}"
            ],
        ),
        Case(
            "run-as-container",
            {"containers": [says("id -u; id -g", securityContext={"runAsUser": 1001, "runAsGroup": 2002})]},
            "1001\n2002\n",
            covers=[
                f"{group} should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]"
            ],
        ),
        Case(
            "run-as-pod",
            {"securityContext": {"runAsUser": 1001, "runAsGroup": 2002}, "containers": [says("id -u; id -g")]},
            "1001\n2002\n",
            covers=[
                f"{group} should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]"
            ],
        ),
        Case(
            "unprivileged",
            {
                "containers": [
                    says(
                        "ip link add dummy7 type dummy 2>&1 | grep -c permitted",
                        securityContext={"privileged": False, "runAsUser": 0},
                    )
                ]
            },
            "1\n",
            covers=[
                f"{group} When creating a pod with privileged should run the container as unprivileged when false [LinuxOnly] [Conformance] {NODE}"
            ],
        ),
        Case(
            "privileged",
            {
                "containers": [
                    says(
                        "mkdir /m && mount -t tmpfs none /m && echo mounted",
                        securityContext={"privileged": True, "runAsUser": 0},
                    )
                ]
            },
            "mounted\n",
        ),
        Case(
            "read-only-root",
            {
                "containers": [
                    says(
                        "(echo x > /file) 2>/dev/null || echo refused",
                        securityContext={"readOnlyRootFilesystem": True, "runAsUser": 0},
                    )
                ]
            },
            "refused\n",
            covers=[
                f"[sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem [LinuxOnly] [Conformance] {NODE}"
            ],
        ),
        Case(
            "writable-root",
            {
                "containers": [
                    says(
                        "echo x > /file && cat /file", securityContext={"readOnlyRootFilesystem": False, "runAsUser": 0}
                    )
                ]
            },
            "x\n",
            covers=[
                f"{group} When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false [Conformance] {NODE}"
            ],
        ),
        Case(
            "no-escalation",
            {
                "containers": [
                    says(
                        "grep NoNewPrivs /proc/self/status",
                        securityContext={"allowPrivilegeEscalation": False, "runAsUser": 1000},
                    )
                ]
            },
            "NoNewPrivs:\t1\n",
            covers=[
                f"{group} when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false [LinuxOnly] [Conformance] {NODE}"
            ],
        ),
        Case("seccomp", {"containers": [says("grep Seccomp: /proc/self/status")]}, "Seccomp:\t2\n"),
        Case(
            "unconfined",
            {
                "containers": [
                    says("grep Seccomp: /proc/self/status", securityContext={"seccompProfile": {"type": "Unconfined"}})
                ]
            },
            "Seccomp:\t0\n",
        ),
        Case(
            "no-capabilities",
            {
                "containers": [
                    says(
                        "grep CapEff /proc/self/status",
                        securityContext={"runAsUser": 0, "capabilities": {"drop": ["ALL"]}},
                    )
                ]
            },
            "CapEff:\t0000000000000000\n",
        ),
        Case(
            "one-capability",
            {
                "containers": [
                    says(
                        "grep CapEff /proc/self/status",
                        securityContext={
                            "runAsUser": 0,
                            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                        },
                    )
                ]
            },
            "CapEff:\t0000000000000400\n",
        ),
        Case(
            "groups",
            {
                "securityContext": {"runAsUser": 1000, "supplementalGroups": [7, 9], "fsGroup": 11},
                "containers": [says("id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '")],
            },
            "0 7 9 11 ",
        ),
        Case(
            "sysctl",
            {
                "securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
                "containers": [says("cat /proc/sys/kernel/shm_rmid_forced")],
            },
            "1\n",
            covers=[
                f"[sig-node] Sysctls [LinuxOnly] should support sysctls [Environment:NotInUserNS] [Conformance] {NODE}"
            ],
        ),
        Case(
            "masked",
            {"containers": [says("test -s /proc/kcore || echo hidden", securityContext={"runAsUser": 0})]},
            "hidden\n",
        ),
        Case(
            "shared-pids",
            {"shareProcessNamespace": True, "containers": [says("test $$$$ -ne 1 && echo not one")]},
            "not one\n",
        ),
        Case(
            "host-network",
            {
                "hostNetwork": True,
                "containers": [says("grep -c sampan-node /proc/net/tcp >/dev/null; hostname >/dev/null && echo host")],
            },
            "host\n",
        ),
    ]
