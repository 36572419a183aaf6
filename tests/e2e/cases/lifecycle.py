"""How containers end, init containers, sidecars, hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.e2e.cases.case import NODE, Case, says


def lifecycles() -> list[Case]:
    def failed(reason: str, code: int) -> Callable[[dict[str, Any]], None]:
        def check(pod: dict[str, Any]) -> None:
            end = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            assert (end["reason"], end["exitCode"]) == (reason, code)

        return check

    def message(text: str) -> Callable[[dict[str, Any]], None]:
        def check(pod: dict[str, Any]) -> None:
            assert pod["status"]["containerStatuses"][0]["state"]["terminated"].get("message", "") == text

        return check

    def init_done(pod: dict[str, Any]) -> None:
        ends = [s["state"]["terminated"] for s in pod["status"]["initContainerStatuses"]]
        assert [end["reason"] for end in ends] == ["Completed", "Completed"]
        conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
        assert conditions["Initialized"] == "True"

    def init_failed(pod: dict[str, Any]) -> None:
        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
        assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"

    terminated = "[sig-node] Container Runtime blackbox test on terminated container should report termination message"
    shared = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    return [
        Case(
            "fails",
            {"containers": [says("exit 3")]},
            "",
            phase="Failed",
            check=failed("Error", 3),
            covers=[
                f"[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason [Conformance] {NODE}"
            ],
        ),
        Case(
            "killed",
            {
                "containers": [
                    says("kill -9 $$; sleep 9 & kill -9 $!", command=["/bin/sh", "-c", "sh -c 'kill -9 $$'; exit 137"])
                ]
            },
            None,
            phase="Failed",
            check=failed("Error", 137),
        ),
        Case(
            "out-of-memory",
            {"containers": [says("tail /dev/zero", resources={"limits": {"memory": "16Mi"}})]},
            None,
            phase="Failed",
            check=failed("OOMKilled", 137),
        ),
        Case(
            "message-file",
            {
                "containers": [
                    says(
                        "echo -n DONE > /dev/termination-log",
                        securityContext={"runAsUser": 0},
                        terminationMessagePolicy="FallbackToLogsOnError",
                    )
                ]
            },
            "",
            check=message("DONE"),
            covers=[
                f"{terminated} from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] {NODE}"
            ],
        ),
        Case(
            "message-log",
            {"containers": [says("echo -n DONE; exit 1", terminationMessagePolicy="FallbackToLogsOnError")]},
            "DONE",
            phase="Failed",
            check=message("DONE"),
            covers=[
                f"{terminated} from log output if TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] {NODE}"
            ],
        ),
        Case(
            "message-empty",
            {"containers": [says("echo -n DONE", terminationMessagePolicy="FallbackToLogsOnError")]},
            "DONE",
            check=message(""),
            covers=[
                f"{terminated} as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] {NODE}"
            ],
        ),
        Case(
            "message-path",
            {
                "containers": [
                    says(
                        "echo -n DONE > /dev/termination-custom-log",
                        securityContext={"runAsUser": 1000},
                        terminationMessagePath="/dev/termination-custom-log",
                    )
                ]
            },
            "",
            check=message("DONE"),
            covers=[
                f"{terminated} if TerminationMessagePath is set as non-root user and at a non-default path [Conformance] {NODE}"
            ],
        ),
        Case(
            "init",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [
                    {**says("echo 1 >> /v/f", **shared), "name": "i1"},
                    {**says("echo 2 >> /v/f", **shared), "name": "i2"},
                ],
                "containers": [says("cat /v/f", **shared)],
            },
            "1\n2\n",
            check=init_done,
            covers=[
                f"[sig-node] InitContainer should invoke init containers on a RestartNever pod [Conformance] {NODE}"
            ],
        ),
        Case(
            "init-fails",
            {
                "initContainers": [{**says("exit 1"), "name": "i1"}, {**says("true"), "name": "i2"}],
                "containers": [says("echo never")],
            },
            None,
            phase="Failed",
            check=init_failed,
            covers=[
                f"[sig-node] InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod [Conformance] {NODE}"
            ],
        ),
        Case(
            "sidecar",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [
                    {
                        **says("trap 'exit 0' TERM; echo up > /v/f; while true; do sleep 1 & wait $!; done", **shared),
                        "name": "side",
                        "restartPolicy": "Always",
                        "startupProbe": {"exec": {"command": ["test", "-s", "/v/f"]}, "periodSeconds": 1},
                    }
                ],
                "containers": [says("cat /v/f", **shared)],
            },
            "up\n",
        ),
        Case(
            "post-start",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [
                    says(
                        "while ! test -s /v/f; do sleep 0.1; done; cat /v/f",
                        lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo hooked > /v/f"]}}},
                        **shared,
                    )
                ],
            },
            "hooked\n",
            covers=[
                f"[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook properly [Conformance] {NODE}"
            ],
        ),
        Case(
            "deadline",
            {"activeDeadlineSeconds": 1, "containers": [says("trap 'exit 0' TERM; sleep 60 & wait $!")]},
            None,
            phase="Failed",
        ),
    ]
