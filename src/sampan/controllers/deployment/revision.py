"""Which ReplicaSet is the new one: found by its template, or made; its revision number and annotations.

`kubectl rollout history` and `undo` read these annotations.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.kinds import apps
from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.controllers import naming, owners
from sampan.controllers.deployment import status
from sampan.controllers.deployment.sets import HASH_LABEL, Sets, bare, margins, replace_new, size
from sampan.runtime.actions import Action, Call, Create, Emit, Retry, Update, UpdateStatus, View, no_longer

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
)
HISTORY_LENGTH = 2000
"""Characters of the list of revisions that a ReplicaSet has been before; the oldest are cut off."""

Found = Generator[Action, Any, tuple[apps_v1.Deployment, Sets]]


def number(owner: Any) -> int:
    text = owner.metadata.annotations.get(REVISION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def adopt_new(deployment: apps_v1.Deployment, sets: Sets, view: View, *, create: bool) -> Found:
    """Bring the new ReplicaSet's annotations up to date; make it when there is none and `create`."""
    revision = max((number(each) for each in sets.old), default=0) + 1
    if sets.new is not None:
        new = _annotated(deployment, sets.new, revision)
        if new is not sets.new:
            new = yield Update(new)
            sets = replace_new(sets, new)
        deployment = yield from _mark(deployment, new, view)
        return deployment, sets
    if not create:
        return deployment, sets
    return (yield from _make(deployment, sets, revision, view))


def _annotated(deployment: apps_v1.Deployment, new: apps_v1.ReplicaSet, revision: int) -> apps_v1.ReplicaSet:
    """The ReplicaSet as it should be; the very same object when it is so already."""
    annotations = {**new.metadata.annotations, **copied(deployment.metadata.annotations)}
    if number(new) < revision:
        annotations[REVISION] = str(revision)
        if before := new.metadata.annotations.get(REVISION):
            annotations[HISTORY] = _history(new.metadata.annotations.get(HISTORY, ""), before)
    min_ready = deployment.spec.minReadySeconds
    spec = new.spec
    if annotations == new.metadata.annotations and (spec.minReadySeconds or 0) == (min_ready or 0):
        return new
    return replace(
        new,
        metadata=replace(new.metadata, annotations=annotations),
        spec=replace(spec, minReadySeconds=min_ready),
    )


def copied(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in annotations.items() if name not in NOT_COPIED}


def _history(history: str, before: str) -> str:
    listed = [each for each in history.split(",") if each] + [before]
    while len(",".join(listed)) > HISTORY_LENGTH:
        listed.pop(0)
    return ",".join(listed)


def _mark(
    deployment: apps_v1.Deployment, new: apps_v1.ReplicaSet, view: View
) -> Generator[Action, Any, apps_v1.Deployment]:
    """The Deployment carries its newest revision, and says that it has found its ReplicaSet."""
    revision = new.metadata.annotations.get(REVISION, "")
    if deployment.metadata.annotations.get(REVISION) != revision:
        annotations = {**deployment.metadata.annotations, REVISION: revision}
        metadata = replace(deployment.metadata, annotations=annotations)
        deployment = yield Update(replace(deployment, metadata=metadata))
    if status.has_deadline(deployment) and status.condition(deployment, "Progressing") is None:
        message = f'Found new replica set "{new.metadata.name}"'
        deployment = status.with_progress(deployment, "True", "FoundNewReplicaSet", message, view.now)
    return deployment


def _make(deployment: apps_v1.Deployment, sets: Sets, revision: int, view: View) -> Found:
    new = _described(deployment, sets, revision)
    name = new.metadata.name or ""
    try:
        made = yield Create(new)
    except StatusError as error:
        if error.code == 409 and error.reason == "AlreadyExists":
            made = yield from _collide(deployment, new)
        else:
            yield from _failed(deployment, name, error, view)
            raise
    else:
        count = size(made)
        if count > 0:
            yield Emit(deployment, "Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {count}")
    annotations = {**deployment.metadata.annotations, REVISION: made.metadata.annotations.get(REVISION, str(revision))}
    if annotations != deployment.metadata.annotations:
        deployment = yield Update(replace(deployment, metadata=replace(deployment.metadata, annotations=annotations)))
    if status.has_deadline(deployment):
        message = f'Created new replica set "{name}"'
        deployment = status.with_progress(deployment, "True", "NewReplicaSetCreated", message, view.now)
    return deployment, replace_new(sets, made)


def _described(deployment: apps_v1.Deployment, sets: Sets, revision: int) -> apps_v1.ReplicaSet:
    spec = deployment.spec
    collisions = deployment.status.collisionCount or 0
    digest = template_hash(spec.template, collisions)
    template = _labelled(spec.template, digest)
    labels = template.metadata.labels if template.metadata else {}
    selector = replace(spec.selector, matchLabels={**spec.selector.matchLabels, HASH_LABEL: digest})
    annotations = {
        **copied(deployment.metadata.annotations),
        REVISION: str(revision),
        DESIRED: str(size(deployment)),
        MAXIMUM: str(size(deployment) + margins(deployment).surge),
    }
    return apps_v1.ReplicaSet(
        metadata=meta_v1.ObjectMeta(
            name=f"{deployment.metadata.name}-{digest}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations=annotations,
            ownerReferences=(owners.reference(deployment, apps.DEPLOYMENT),),
        ),
        spec=apps_v1.ReplicaSetSpec(
            replicas=new_size(deployment, sets),
            minReadySeconds=spec.minReadySeconds,
            selector=selector,
            template=template,
        ),
    )


def new_size(deployment: apps_v1.Deployment, sets: Sets) -> int:
    """What the new ReplicaSet may grow to now: never more pods in all than replicas and surge."""
    current = size(sets.new) if sets.new is not None else 0
    wanted = size(deployment)
    if deployment.spec.strategy.type == "Recreate":
        return wanted
    room = wanted + margins(deployment).surge - sum(size(each) for each in sets.all)
    return current if room <= 0 else current + min(room, wanted - current)


def _collide(deployment: apps_v1.Deployment, new: apps_v1.ReplicaSet) -> Generator[Action, Any, apps_v1.ReplicaSet]:
    """The name is taken: by ourselves in an earlier life, or by a stranger, and then the hash must change."""
    name, namespace = new.metadata.name or "", new.metadata.namespace or ""
    there: apps_v1.ReplicaSet = yield Call(lambda client: client.get(apps_v1.ReplicaSet, name, namespace))
    above = owners.controller_of(there)
    same = bare(there.spec.template) == bare(new.spec.template)
    if above is not None and above.uid == deployment.metadata.uid and same:
        return there
    observed = deployment.status
    collisions = (observed.collisionCount or 0) + 1
    yield UpdateStatus(replace(deployment, status=replace(observed, collisionCount=collisions)))
    raise Retry(0, f"replica set {name} exists already")


def _failed(deployment: apps_v1.Deployment, name: str, error: StatusError, view: View) -> Generator[Action, Any, None]:
    if no_longer(error):
        return
    message = f'Failed to create new replica set "{name}": {error}'
    if status.has_deadline(deployment):
        before = deployment.status
        marked = status.with_progress(deployment, "False", "ReplicaSetCreateError", message, view.now)
        if marked.status != before:
            yield UpdateStatus(marked)
    yield Emit(deployment, "Warning", "ReplicaSetCreateError", message)


def _labelled(template: core_v1.PodTemplateSpec, digest: str) -> core_v1.PodTemplateSpec:
    metadata = template.metadata or meta_v1.ObjectMeta()
    return replace(template, metadata=replace(metadata, labels={**metadata.labels, HASH_LABEL: digest}))


def template_hash(template: core_v1.PodTemplateSpec, collisions: int) -> str:
    """The hash of a template as its author wrote it."""
    return naming.digest(msgspec.json.encode(bare(template), order="deterministic"), collisions)
