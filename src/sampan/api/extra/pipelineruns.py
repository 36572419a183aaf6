"""What a PipelineRun may say, what it leaves open, and what of it is fixed."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sampan.api import names
from sampan.api.defaults.document import Document, fill, section
from sampan.api.errors import FieldError, forbidden, invalid, not_supported, required
from sampan.api.extra.pipelinerun_v1 import PipelineRun, RunSource
from sampan.api.extra.validation import NAME_LENGTH, repository_url
from sampan.api.types import meta_v1
from sampan.api.validation.checks import Errors, named

LABEL = "sampan.dev/app"
"""On every run, so that an app's runs can be selected."""
POD_LABEL = "sampan.dev/pipelinerun"
"""On the pods of a run: its name."""
TRIGGERS = ("manual", "push", "webhook")
WAITING, RUNNING = "Pending", "Running"
ENDED = ("Succeeded", "Unstable", "Failed", "Aborted")
"""Phases that do not change any more."""
SCHEMES = ("https://", "http://", "ssh://", "git://")
"""Ways to a repository elsewhere. git knows others: some run commands, and file:// would lead to what root may read on
the node, other namespaces' repositories among it."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
"""Of a parameter and of an environment variable."""
LONGEST = 60
"""Letters of a run's name."""
PARAMETERS, VALUE_LENGTH = 50, 4096

_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_REF = re.compile(r"refs/(?:heads|tags)/[A-Za-z0-9_.#@%+=,/-]+\Z")


def default_run(run: Document) -> None:
    spec = section(run, "spec")
    fill(section(spec, "trigger"), "kind", "manual")
    app = spec.get("app")
    if isinstance(app, str) and app and not names.label_value(app):
        fill(section(section(run, "metadata"), "labels"), LABEL, app)


def create_run(run: Document) -> None:
    run["status"] = {"phase": WAITING}


def ended(run: PipelineRun) -> bool:
    return run.status.phase in ENDED


def commit_of(run: PipelineRun) -> str:
    return run.status.commit or run.spec.source.commit or ""


def branch_of(ref: str) -> str:
    """`refs/heads/main` and `refs/tags/main` as `main`."""
    return ref.split("/", 2)[2] if ref.count("/") >= 2 else ref


def owner(run: PipelineRun) -> meta_v1.OwnerReference:
    """What is made for a run goes with it."""
    return meta_v1.OwnerReference(
        apiVersion="sampan.dev/v1",
        kind="PipelineRun",
        name=run.metadata.name or "",
        uid=run.metadata.uid or "",
        controller=True,
    )


def validate_run(run: PipelineRun) -> list[FieldError]:
    errors: Errors = []
    spec, name = run.spec, run.metadata.name or ""
    if len(name) > LONGEST:
        text = f"must be no more than {LONGEST} characters, names of its pods are longer"
        errors.append(invalid("metadata.name", name, text))
    if not spec.app:
        errors.append(required("spec.app", "the app whose pipeline runs"))
    else:
        named(errors, spec.app, "spec.app", names.dns1035_label)
        if len(spec.app) > NAME_LENGTH:
            errors.append(invalid("spec.app", spec.app, f"must be no more than {NAME_LENGTH} characters"))
    _source(errors, spec.source, by_hand=spec.trigger.kind == "manual")
    if spec.trigger.kind not in TRIGGERS:
        errors.append(not_supported("spec.trigger.kind", spec.trigger.kind, TRIGGERS))
    if len(spec.parameters) > PARAMETERS:
        errors.append(invalid("spec.parameters", len(spec.parameters), f"must be no more than {PARAMETERS}"))
    for name, value in spec.parameters.items():
        if NAME.match(name) is None:
            errors.append(invalid("spec.parameters", name, "must be letters, digits and _, such as TARGET"))
        if len(value) > VALUE_LENGTH:
            errors.append(
                invalid(f"spec.parameters[{name}]", f"{value[:20]}...", f"must be no more than {VALUE_LENGTH} letters")
            )
    return errors


def _source(errors: Errors, source: RunSource, *, by_hand: bool) -> None:
    path = "spec.source"
    if source.url and not source.url.startswith(SCHEMES):
        errors.append(invalid(f"{path}.url", source.url, f"must begin with one of {', '.join(SCHEMES)}"))
    elif source.url:
        repository_url(errors, f"{path}.url", source.url)
    if not source.commit and not by_hand:
        errors.append(required(f"{path}.commit", "the commit's full name, 40 hexadecimal digits"))
    elif source.commit and _COMMIT.match(source.commit) is None:
        errors.append(invalid(f"{path}.commit", source.commit, "must be a commit's full name, 40 hexadecimal digits"))
    if not source.ref:
        errors.append(required(f"{path}.ref", "such as refs/heads/main"))
    elif _REF.match(source.ref) is None or ".." in source.ref or "//" in source.ref or source.ref.endswith("/"):
        errors.append(invalid(f"{path}.ref", source.ref, "must be refs/heads/BRANCH or refs/tags/TAG"))


def validate_run_update(new: PipelineRun, old: PipelineRun) -> list[FieldError]:
    errors: Errors = []
    if _without_abort(new) != _without_abort(old):
        text = "is fixed once the run is made, except for abort; start another run instead"
        errors.append(forbidden("spec", text))
    elif old.spec.abort and not new.spec.abort:
        errors.append(invalid("spec.abort", bool(new.spec.abort), "cannot be taken back; start another run instead"))
    return errors


def _without_abort(run: PipelineRun) -> Any:
    return msgspec.structs.replace(run.spec, abort=None)
