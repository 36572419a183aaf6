"""ConfigMap, Secret and projected volumes."""

from __future__ import annotations

from typing import Any

from tests.e2e.cases.case import NODE, Case, config_map, says, secret, with_volume


def config_volumes() -> list[Case]:
    cases = []
    files = config_map("files", {"one": "1", "path.two": "2"}, binaryData={"bin": "AAH/"})
    hidden = secret("hidden-files", {"one": "1", "path.two": "2"})
    kinds = (
        ("configmap", "ConfigMap", {"configMap": {"name": "files"}}, files),
        ("secret", "Secrets", {"secret": {"secretName": "hidden-files"}}, hidden),
        (
            "projected-configmap",
            "Projected configMap",
            {"projected": {"sources": [{"configMap": {"name": "files"}}]}},
            files,
        ),
        (
            "projected-secret",
            "Projected secret",
            {"projected": {"sources": [{"secret": {"name": "hidden-files"}}]}},
            hidden,
        ),
    )
    for name, title, source, thing in kinds:
        plural = "in multiple volumes in the same pod" if "onfigMap" in title else "in multiple volumes in a pod"
        start = f"[sig-storage] {title} should be consumable"
        cases.append(
            with_volume(
                f"{name}-volume",
                source,
                "cat /v/one; ls /v | head -1 | wc -l",
                "11\n",
                [f"{start} from pods in volume [Conformance] {NODE}"],
                objects=[thing],
            )
        )
        items = [{"key": "path.two", "path": "deep/er/two"}]
        mapped = _with_items(source, items)
        cases.append(
            with_volume(
                f"{name}-mapped",
                mapped,
                "cat /v/deep/er/two; ls /v",
                "2deep\n",
                [f"{start} from pods in volume with mappings [Conformance] {NODE}"],
            )
        )
        moded = _with_items(source, [{"key": "path.two", "path": "two", "mode": 0o400}])
        word = "mode" if "onfigMap" in title else "Mode"
        cases.append(
            with_volume(
                f"{name}-item-mode",
                moded,
                "stat -L -c %a /v/two",
                "400\n",
                [f"{start} from pods in volume with mappings and Item {word} set [LinuxOnly] [Conformance] {NODE}"],
                container={"securityContext": {"runAsUser": 0}},
            )
        )
        cases.append(
            with_volume(
                f"{name}-default-mode",
                _with_mode(source, 0o440),
                "stat -L -c %a /v/one",
                "440\n",
                [f"{start} from pods in volume with defaultMode set [LinuxOnly] [Conformance] {NODE}"],
                container={"securityContext": {"runAsUser": 0}},
            )
        )
        cases.append(
            Case(
                f"{name}-twice",
                {
                    "volumes": [{"name": "a", **source}, {"name": "b", **source}],
                    "containers": [
                        says(
                            "cat /a/one /b/one; echo",
                            volumeMounts=[{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}],
                        )
                    ],
                },
                "11\n",
                covers=[f"{start} {plural} [Conformance] {NODE}"],
            )
        )
        if "onfigMap" in title:
            cases.append(
                with_volume(
                    f"{name}-non-root",
                    source,
                    "id -u; cat /v/one",
                    "1000\n1",
                    [f"{start} from pods in volume as non-root [Conformance] {NODE}"],
                    spec={"securityContext": {"runAsUser": 1000}},
                )
            )
            cases.append(
                with_volume(
                    f"{name}-mapped-non-root",
                    mapped,
                    "id -u; cat /v/deep/er/two",
                    "1000\n2",
                    [f"{start} from pods in volume with mappings as non-root [Conformance] {NODE}"],
                    spec={"securityContext": {"runAsUser": 1000}},
                )
            )
        else:
            cases.append(
                with_volume(
                    f"{name}-fsgroup",
                    _with_mode(source, 0o440),
                    "id -u; stat -L -c '%a %g' /v/one; cat /v/one",
                    "1000\n440 1001\n1",
                    [
                        f"{start} from pods in volume as non-root with defaultMode and fsGroup set [LinuxOnly] [Conformance] {NODE}"
                    ],
                    spec={"securityContext": {"runAsUser": 1000, "fsGroup": 1001}},
                )
            )
    cases.append(
        with_volume(
            "configmap-binary",
            {"configMap": {"name": "files"}},
            "base64 /v/bin",
            "AAH/\n",
            [f"[sig-storage] ConfigMap binary data should be reflected in volume [Conformance] {NODE}"],
        )
    )
    return cases


def _with_items(source: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    ((kind, value),) = source.items()
    if kind == "projected":
        ((inner, reference),) = value["sources"][0].items()
        return {"projected": {"sources": [{inner: {**reference, "items": items}}]}}
    return {kind: {**value, "items": items}}


def _with_mode(source: dict[str, Any], mode: int) -> dict[str, Any]:
    ((kind, value),) = source.items()
    return {kind: {**value, "defaultMode": mode}}
