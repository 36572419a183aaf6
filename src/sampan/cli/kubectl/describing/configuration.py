"""ConfigMaps, Secrets, ServiceAccounts, roles and bindings."""

from __future__ import annotations

import base64
from typing import Any

from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]


def configmap(write: Writer, document: Document, found: Document) -> None:
    common.metadata(write, document)
    write(0)
    write(0, "Data")
    write(0, "====")
    for key, value in sorted((document.get("data") or {}).items()):
        write(0, f"{key}:")
        write(0, "----")
        for line in value.split("\n"):
            write(0, line)
        write(0)
    write(0)
    write(0, "BinaryData")
    write(0, "====")
    for key, value in sorted((document.get("binaryData") or {}).items()):
        write(0, f"{key}: {len(base64.b64decode(value))} bytes")
    write(0)
    common.events(write, found["events"])


def secret(write: Writer, document: Document, found: Document) -> None:
    """Sizes only: a description is often shown to others."""
    common.metadata(write, document)
    write(0)
    write(0, f"Type:\t{document.get('type', '')}")
    write(0)
    write(0, "Data")
    write(0, "====")
    for key, value in sorted((document.get("data") or {}).items()):
        content = base64.b64decode(value)
        if key == "token" and document.get("type") == "kubernetes.io/service-account-token":
            write(0, f"{key}:\t{content.decode(errors='replace')}")
        else:
            write(0, f"{key}:\t{len(content)} bytes")


def serviceaccount(write: Writer, document: Document, found: Document) -> None:
    common.metadata(write, document)
    for title, field in (("Image pull secrets", "imagePullSecrets"), ("Mountable secrets", "secrets")):
        names = [each["name"] for each in document.get(field) or ()] or [common.NONE]
        for at, name in enumerate(names):
            write(0, f"{f'{title}:' if not at else ''}\t{name}")
    write(0, f"Tokens:\t{common.NONE}")
    common.events(write, found["events"])


def role(write: Writer, document: Document, found: Document) -> None:
    meta = document["metadata"]
    write(0, f"Name:\t{meta['name']}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, "PolicyRule:")
    write(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs")
    write(1, "---------\t-----------------\t--------------\t-----")
    for rule in _compact(document.get("rules") or []):
        cells = [f"[{_words(rule, field)}]" for field in ("nonResourceURLs", "resourceNames", "verbs")]
        write(1, "\t".join([_shown(rule), *cells]))


def _words(rule: Document, field: str) -> str:
    return " ".join(rule.get(field) or ())


def _shown(rule: Document) -> str:
    """`deployments.apps/scale`"""
    resource, slash, part = (rule.get("resources") or [""])[0].partition("/")
    group = (rule.get("apiGroups") or [""])[0]
    return f"{resource}.{group}{slash}{part}" if group and resource else f"{resource}{slash}{part}"


def _compact(rules: list[Document]) -> list[Document]:
    """One rule a resource, the verbs of all rules about it together, in the order in which kubectl shows them."""
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for rule in rules:
        names = rule.get("resourceNames") or [""]
        keys = [
            (group, resource, name, "")
            for group in rule.get("apiGroups") or ()
            for resource in rule.get("resources") or ()
            for name in names
        ]
        keys += [("", "", "", url) for url in rule.get("nonResourceURLs") or ()]
        for key in keys:
            known = verbs.setdefault(key, [])
            known += [verb for verb in rule["verbs"] if verb not in known]
    found = [
        {
            "verbs": each,
            "apiGroups": [group] if resource else [],
            "resources": [resource] if resource else [],
            "resourceNames": [name] if name else [],
            "nonResourceURLs": [url] if url else [],
        }
        for (group, resource, name, url), each in verbs.items()
    ]
    fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
    return sorted(found, key=lambda rule: "".join(f"{field}:[{_words(rule, field)}]," for field in fields))


def binding(write: Writer, document: Document, found: Document) -> None:
    meta, reference = document["metadata"], document["roleRef"]
    write(0, f"Name:\t{meta['name']}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, "Role:")
    write(1, f"Kind:\t{reference['kind']}")
    write(1, f"Name:\t{reference['name']}")
    write(0, "Subjects:")
    write(1, "Kind\tName\tNamespace")
    write(1, "----\t----\t---------")
    for subject in document.get("subjects") or ():
        write(1, f"{subject['kind']}\t{subject['name']}\t{subject.get('namespace', '')}")
