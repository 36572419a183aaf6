"""emptyDir on disk and in memory."""

from __future__ import annotations

from tests.e2e.cases.case import NODE, Case, says, with_volume


def empty_dirs() -> list[Case]:
    cases = []
    for medium, source in (("default", {}), ("tmpfs", {"medium": "Memory"})):
        kind = "/v tmpfs " if medium == "tmpfs" else "/v ext4 "
        check = f"grep -q '{kind}' /proc/mounts && echo tmpfs; " if medium == "tmpfs" else ""
        first = "tmpfs\n" if medium == "tmpfs" else ""
        for who, user in (("root", 0), ("non-root", 1000)):
            for mode in ("0644", "0666", "0777"):
                script = f"{check}umask 0; echo x > /v/f && chmod {mode} /v/f && stat -c %a /v/f; cat /v/f"
                cases.append(
                    with_volume(
                        f"empty-{medium}-{who}-{mode}",
                        {"emptyDir": source},
                        script,
                        f"{first}{mode[1:]}\nx\n",
                        [
                            f"[sig-storage] EmptyDir volumes should support ({who},{mode},{medium}) [LinuxOnly] [Conformance] {NODE}"
                        ],
                        spec={"securityContext": {"runAsUser": user}},
                    )
                )
        words = "default medium" if medium == "default" else "tmpfs"
        cases.append(
            with_volume(
                f"empty-{medium}-mode",
                {"emptyDir": source},
                "stat -c %a /v",
                "777\n",
                [
                    f"[sig-storage] EmptyDir volumes volume on {words} should have the correct mode [LinuxOnly] [Conformance] {NODE}"
                ],
            )
        )
    shared = {"name": "v", "mountPath": "/v"}
    cases.append(
        Case(
            "empty-shared",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [
                    says("while ! test -s /v/f; do sleep 0.1; done; cat /v/f", volumeMounts=[shared]),
                    {**says("echo from the other > /v/f", volumeMounts=[shared]), "name": "other"},
                ],
            },
            "from the other\n",
            covers=[
                "[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]"
            ],
        )
    )
    cases.append(
        Case(
            "empty-propagation",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [
                    says(
                        "while ! test -s /v/m/f; do sleep 0.1; done; cat /v/m/f",
                        volumeMounts=[{**shared, "mountPropagation": "HostToContainer"}],
                    ),
                    {
                        **says(
                            "mkdir /v/m && busybox mount -t tmpfs none /v/m && echo from a mount of the other > /v/m/f",
                            volumeMounts=[{**shared, "mountPropagation": "Bidirectional"}],
                            securityContext={"privileged": True, "runAsUser": 0},
                        ),
                        "name": "other",
                    },
                ],
            },
            "from a mount of the other\n",
        )
    )
    return cases
