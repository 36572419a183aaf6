"""What all verbs that write have in common: query parameters, the remembered manifest, the line that tells it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sampan.cli.kubectl import flags, manifests
from sampan.cli.kubectl.printing import choose
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session

Document = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_VALIDATE = {"strict": "Strict", "true": "Strict", "warn": "Warn", "ignore": "Ignore", "false": "Ignore"}


def query(options: argparse.Namespace, *, validate: str = "") -> dict[str, str]:
    """fieldManager, dryRun and fieldValidation as the flags say; empty ones are not sent."""
    return {
        "fieldManager": getattr(options, "field_manager", ""),
        "dryRun": "All" if flags.check_dry_run(options) == "server" else "",
        "fieldValidation": _VALIDATE.get(validate, ""),
    }


def remember(document: Document) -> str:
    """Write the manifest itself into the annotation that the next apply compares with; returns its text."""
    meta = manifests.meta(document)
    annotations = dict(meta.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    # An empty map is part of what kubectl remembers.
    plain = {**document, "metadata": {**meta, "annotations": annotations}}
    text = go_json(plain) + "\n"
    meta["annotations"] = {**annotations, LAST_APPLIED: text}
    return text


def go_json(document: Any) -> str:
    """Compact JSON with sorted keys, escaped as Go does."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def show(session: Session, target: Target, document: Document, done: str) -> None:
    """`pod/web created`, with the dry run's kind behind it, or the object as -o says."""
    options = session.options
    printer = choose.printer(options) if getattr(options, "output", "") else None
    if printer is not None:
        document.setdefault("apiVersion", target.resource.api_version)
        document.setdefault("kind", target.resource.kind)
        if options.output == "yaml" and getattr(options, "shown", False):
            session.context.stdout.write("---\n")
        options.shown = True
        session.context.stdout.write(printer(document))
        return
    name = (document.get("metadata") or {}).get("name") or target.name
    session.context.out(f"{target.resource.display}/{name} {done}{dry_suffix(options)}")


def dry_suffix(options: argparse.Namespace) -> str:
    return {"client": " (dry run)", "server": " (server dry run)"}.get(getattr(options, "dry_run", ""), "")
