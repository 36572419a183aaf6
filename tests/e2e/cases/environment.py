"""Environment from ConfigMaps, Secrets, fields and resources."""

from __future__ import annotations

from typing import Any

from tests.e2e.cases.case import NODE, Case, config_map, says, secret


def environment() -> list[Case]:
    def field_ref(path: str) -> dict[str, Any]:
        return {"valueFrom": {"fieldRef": {"fieldPath": path}}}

    def resource(name: str, **more: str) -> dict[str, Any]:
        return {"valueFrom": {"resourceFieldRef": {"resource": name, **more}}}

    settings = config_map("settings", {"A": "1", "B": "two words"})
    hidden = secret("hidden", {"S": "s e c r e t"})

    def names(pod: dict[str, Any]) -> None:
        assert pod["status"]["podIP"]

    return [
        Case(
            "env-config-map",
            {
                "containers": [
                    says(
                        "echo $X",
                        env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "B"}}}],
                    )
                ]
            },
            "two words\n",
            objects=[settings],
            covers=[f"[sig-node] ConfigMap should be consumable via environment variable [Conformance] {NODE}"],
        ),
        Case(
            "env-from-config-map",
            {
                "containers": [
                    says(
                        "echo $A $B; echo $p_A",
                        envFrom=[
                            {"configMapRef": {"name": "settings"}},
                            {"prefix": "p_", "configMapRef": {"name": "settings"}},
                        ],
                    )
                ]
            },
            "1 two words\n1\n",
            covers=[f"[sig-node] ConfigMap should be consumable via the environment [Conformance] {NODE}"],
        ),
        Case(
            "env-secret",
            {
                "containers": [
                    says("echo $X", env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "S"}}}])
                ]
            },
            "s e c r e t\n",
            objects=[hidden],
            covers=[f"[sig-node] Secrets should be consumable from pods in env vars [Conformance] {NODE}"],
        ),
        Case(
            "env-from-secret",
            {"containers": [says("echo $S", envFrom=[{"secretRef": {"name": "hidden"}}])]},
            "s e c r e t\n",
            covers=[f"[sig-node] Secrets should be consumable via the environment [Conformance] {NODE}"],
        ),
        Case(
            "env-optional",
            {
                "containers": [
                    says(
                        "echo [$X]",
                        env=[
                            {
                                "name": "X",
                                "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "B", "optional": True}},
                            }
                        ],
                    )
                ]
            },
            "[]\n",
        ),
        Case(
            "env-fields",
            {
                "containers": [
                    says(
                        'echo $NAME $SPACE $LABEL; test -n "$IP" && test -n "$UID_" && test -n "$HOST" && test -n "$HOSTS" && test -n "$NODE" && echo filled',
                        env=[
                            {"name": "NAME", **field_ref("metadata.name")},
                            {"name": "SPACE", **field_ref("metadata.namespace")},
                            {"name": "LABEL", **field_ref("metadata.labels['case']")},
                            {"name": "IP", **field_ref("status.podIP")},
                            {"name": "UID_", **field_ref("metadata.uid")},
                            {"name": "HOST", **field_ref("status.hostIP")},
                            {"name": "HOSTS", **field_ref("status.hostIPs")},
                            {"name": "NODE", **field_ref("spec.nodeName")},
                        ],
                    )
                ]
            },
            "env-fields cases env-fields\nfilled\n",
            check=names,
            covers=[
                f"[sig-node] Downward API should provide pod name, namespace and IP address as env vars [Conformance] {NODE}",
                f"[sig-node] Downward API should provide pod UID as env vars [Conformance] {NODE}",
                f"[sig-node] Downward API should provide host IP as an env var [Conformance] {NODE}",
                f"[sig-node] Downward API should provide hostIPs as an env var [Conformance] {NODE}",
            ],
        ),
        Case(
            "env-resources",
            {
                "containers": [
                    says(
                        "echo $CL $CR $ML $MR",
                        resources={
                            "requests": {"cpu": "250m", "memory": "32Mi"},
                            "limits": {"cpu": "1250m", "memory": "64Mi"},
                        },
                        env=[
                            {"name": "CL", **resource("limits.cpu")},
                            {"name": "CR", **resource("requests.cpu", divisor="1m")},
                            {"name": "ML", **resource("limits.memory")},
                            {"name": "MR", **resource("requests.memory", divisor="1Mi")},
                        ],
                    )
                ]
            },
            "2 250 67108864 32\n",
            covers=[
                f"[sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars [Conformance] {NODE}"
            ],
        ),
        Case(
            "env-allocatable",
            {
                "containers": [
                    says(
                        'test "$CPU" -ge 1 && test "$MEM" -gt 1000000 && echo yes',
                        env=[{"name": "CPU", **resource("limits.cpu")}, {"name": "MEM", **resource("limits.memory")}],
                    )
                ]
            },
            "yes\n",
            covers=[
                f"[sig-node] Downward API should provide default limits.cpu/memory from node allocatable [Conformance] {NODE}"
            ],
        ),
        Case(
            "service-env",
            {"containers": [says("echo $KUBERNETES_SERVICE_PORT_HTTPS $KUBERNETES_PORT_443_TCP_PROTO")]},
            "443 tcp\n",
        ),
    ]
