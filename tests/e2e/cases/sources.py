"""Prefixed variables, services' variables, sub paths of what the kubelet writes, volumes beside each other."""

from __future__ import annotations

from typing import Any

from tests.e2e.cases.case import NODE, Case, config_map, says, secret, with_volume


def sources() -> list[Case]:
    return [*_variables(), *_sub_paths(), *_wrapped()]


def _variables() -> list[Case]:
    def prefixed(source: dict[str, Any], *prefixes: str) -> list[dict[str, Any]]:
        return [{"prefix": prefix, **source} for prefix in prefixes]

    # The shell passes on no names but those that it can say: what it was given itself has them all.
    script = "tr '\\0' '\\n' < /proc/1/environ | grep key | sort"
    wanted = "$_key=1\n$_key_2=2\n1-key=1\n1-key_2=2\np_key=1\np_key_2=2\n"
    data = {"key": "1", "key_2": "2"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "foo-service"},
        "spec": {"ports": [{"port": 8765, "targetPort": 8080}], "selector": {"name": "none"}},
    }
    return [
        *(
            Case(
                f"env-prefixes-{made['kind'].lower()}",
                {"containers": [says(script, envFrom=prefixed({reference: {"name": "prefixed"}}, "p_", "1-", "$_"))]},
                wanted,
                objects=[made],
                covers=[f"[sig-node] {name} with various prefixes [Conformance]"],
            )
            for reference, made, name in (
                (
                    "configMapRef",
                    config_map("prefixed", data),
                    "ConfigMap should be consumable as environment variable names",
                ),
                (
                    "secretRef",
                    secret("prefixed", data),
                    "Secrets should be consumable as environment variable names variable names",
                ),
            )
        ),
        Case(
            "env-services",
            {
                "containers": [
                    says(
                        "test -n $FOO_SERVICE_SERVICE_HOST; echo $FOO_SERVICE_SERVICE_PORT $FOO_SERVICE_PORT_8765_TCP_PORT"
                        " $FOO_SERVICE_PORT_8765_TCP_PROTO; h=$FOO_SERVICE_SERVICE_HOST;"
                        " test $FOO_SERVICE_PORT = tcp://$h:8765 && test $FOO_SERVICE_PORT_8765_TCP = tcp://$h:8765 &&"
                        " test $FOO_SERVICE_PORT_8765_TCP_ADDR = $h && echo same"
                    )
                ]
            },
            "8765 8765 tcp\nsame\n",
            objects=[service],
            covers=[f"[sig-node] Pods should contain environment variables for services [Conformance] {NODE}"],
        ),
    ]


def _sub_paths() -> list[Case]:
    start = "[sig-storage] Subpath Atomic writer volumes should support subpaths with"
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("secret", {"secret": {"secretName": "hidden-files"}}),
        ("projected", {"projected": {"sources": [{"configMap": {"name": "files"}}]}}),
        ("downward", {"downwardAPI": {"items": [{"path": "one", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}),
    )
    cases = [
        with_volume(
            f"sub-path-{name}",
            source,
            "cat /sub/file; ls /sub",
            ("cases" if name == "downward" else "1") + "file\n",
            [f"{start} {name} pod [Conformance]"],
            mount={"path": "/sub/file", "subPath": "one"},
        )
        for name, source in kinds
    ]
    cases.append(
        with_volume(
            "sub-path-existing-file",
            {"configMap": {"name": "files"}},
            "cat /etc/passwd; test -s /etc/group && echo kept",
            "1kept\n",
            [f"{start} configmap pod with mountPath of existing file [Conformance]"],
            mount={"path": "/etc/passwd", "subPath": "one"},
        )
    )
    return cases


def _wrapped() -> list[Case]:
    mounts = [
        {"name": "secret", "mountPath": "/etc/secret", "readOnly": True},
        {"name": "config", "mountPath": "/etc/config"},
    ]
    return [
        Case(
            "wrapped-volumes",
            {
                "volumes": [
                    {"name": "secret", "secret": {"secretName": "hidden-files"}},
                    {"name": "config", "configMap": {"name": "files"}},
                ],
                "containers": [says("cat /etc/secret/one /etc/config/path.two; echo", volumeMounts=mounts)],
            },
            "12\n",
            covers=["[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]"],
        ),
    ]
