"""Commands, arguments and their expansion."""

from __future__ import annotations

from tests.e2e.cases.case import NODE, Case, says


def commands() -> list[Case]:
    group = "[sig-node] Containers"
    return [
        Case(
            "command-both",
            {"containers": [{"name": "c", "command": ["/bin/echo"], "args": ["a", "b"]}]},
            "a b\n",
            covers=[
                f"{group} should be able to override the image's default command and arguments [Conformance] {NODE}"
            ],
        ),
        Case(
            "command-only",
            {"containers": [{"name": "c", "command": ["/bin/echo", "only"]}]},
            "only\n",
            covers=[
                f"{group} should be able to override the image's default command (container entrypoint) [Conformance] {NODE}"
            ],
        ),
        Case(
            "args-only",
            {"containers": [{"name": "c", "args": ["/bin/echo", "args"]}]},
            "args\n",
            covers=[
                f"{group} should be able to override the image's default arguments (container cmd) [Conformance] {NODE}"
            ],
        ),
        Case(
            "expansion-command",
            {
                "containers": [
                    {"name": "c", "command": ["/bin/sh", "-c", "echo $(A)"], "env": [{"name": "A", "value": "x"}]}
                ]
            },
            "x\n",
            covers=[
                f"[sig-node] Variable Expansion should allow substituting values in a container's command [Conformance] {NODE}"
            ],
        ),
        Case(
            "expansion-args",
            {
                "containers": [
                    {
                        "name": "c",
                        "command": ["/bin/echo"],
                        "args": ["$(A)", "$$(A)", "$(B)"],
                        "env": [{"name": "A", "value": "x"}],
                    }
                ]
            },
            "x $(A) $(B)\n",
            covers=[
                f"[sig-node] Variable Expansion should allow substituting values in a container's args [Conformance] {NODE}"
            ],
        ),
        Case(
            "expansion-env",
            {"containers": [says("echo $B", env=[{"name": "A", "value": "x"}, {"name": "B", "value": "$(A);;$(A)"}])]},
            "x;;x\n",
            covers=[
                f"[sig-node] Variable Expansion should allow composing env vars into new env vars [Conformance] {NODE}"
            ],
        ),
        Case(
            "output",
            {"containers": [says("echo Hello World")]},
            "Hello World\n",
            covers=[
                f"[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs [Conformance] {NODE}"
            ],
        ),
        Case("working-dir", {"containers": [says("pwd", workingDir="/made/for/me")]}, "/made/for/me\n"),
    ]
