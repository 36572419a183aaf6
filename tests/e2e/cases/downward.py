"""Downward API volumes."""

from __future__ import annotations

from tests.e2e.cases.case import NODE, Case, with_volume


def downward_volumes() -> list[Case]:
    cases = []
    limits = {
        "resources": {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    }
    for name, title, wrap in (
        ("downward", "Downward API volume", lambda items, **m: {"downwardAPI": {"items": items, **m}}),
        (
            "projected-downward",
            "Projected downwardAPI",
            lambda items, **m: {"projected": {"sources": [{"downwardAPI": {"items": items}}], **m}},
        ),
    ):
        start = f"[sig-storage] {title} should"
        label = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
        cases.append(
            with_volume(
                f"{name}-name",
                wrap([label]),
                "cat /v/name",
                f"{name}-name",
                [f"{start} provide podname only [Conformance] {NODE}"],
            )
        )
        root = {"securityContext": {"runAsUser": 0}}
        cases.append(
            with_volume(
                f"{name}-mode",
                wrap([label], defaultMode=0o400),
                "stat -L -c %a /v/name",
                "400\n",
                [f"{start} set DefaultMode on files [LinuxOnly] [Conformance] {NODE}"],
                container=root,
            )
        )
        cases.append(
            with_volume(
                f"{name}-item-mode",
                wrap([{**label, "mode": 0o400}]),
                "stat -L -c %a /v/name",
                "400\n",
                [f"{start} set mode on item file [LinuxOnly] [Conformance] {NODE}"],
                container=root,
            )
        )
        for resource, divisor, log, words in (
            ("limits.cpu", "1m", "1250", "cpu limit"),
            ("requests.cpu", "1m", "250", "cpu request"),
            ("limits.memory", "1Mi", "64", "memory limit"),
            ("requests.memory", "1Mi", "32", "memory request"),
        ):
            item = {"path": "f", "resourceFieldRef": {"containerName": "c", "resource": resource, "divisor": divisor}}
            case = f"{name}-{resource.replace('.', '-')}"
            cases.append(
                with_volume(
                    case,
                    wrap([item]),
                    "cat /v/f",
                    log,
                    [f"{start} provide container's {words} [Conformance] {NODE}"],
                    container=limits,
                )
            )
        for what in ("cpu", "memory"):
            item = {"path": "f", "resourceFieldRef": {"containerName": "c", "resource": f"limits.{what}"}}
            covers = [
                f"{start} provide node allocatable ({what}) as default {what} limit if the limit is not set [Conformance] {NODE}"
            ]
            cases.append(
                with_volume(
                    f"{name}-default-{what}", wrap([item]), 'test "$(cat /v/f)" -ge 1 && echo yes', "yes\n", covers
                )
            )
    combined = {
        "projected": {
            "sources": [
                {"configMap": {"name": "files", "items": [{"key": "one", "path": "c"}]}},
                {"secret": {"name": "hidden-files", "items": [{"key": "one", "path": "s"}]}},
                {"downwardAPI": {"items": [{"path": "d", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ]
        }
    }
    cases.append(
        with_volume(
            "projected-all",
            combined,
            "cat /v/c /v/s /v/d",
            "11projected-all",
            [
                f"[sig-storage] Projected combined should project all components that make up the projection API [Projection] [Conformance] {NODE}"
            ],
        )
    )
    return cases
