"""ControllerRevisions: what a DaemonSet's or StatefulSet's template was, one object for each time it changed."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.api.selectors import Selector
from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.controllers import naming, owners
from sampan.runtime.actions import Action, Call, Create, Delete, Plan, Retry, Update, UpdateStatus, View

HASH = "controller-revision-hash"
"""The label of pods and revisions."""

Revision = apps_v1.ControllerRevision


class History(NamedTuple):
    """`newest` holds the template as it is now; `old` are all others, oldest first."""

    newest: Revision
    old: tuple[Revision, ...]


def data(template: core_v1.PodTemplateSpec) -> dict[str, Any]:
    """A strategic patch that brings the template back: what `kubectl rollout undo` applies."""
    # As it comes back from the server: through JSON, with lists where Structs have tuples.
    content = msgspec.json.decode(msgspec.json.encode(template))
    return {"spec": {"template": {**content, "$patch": "replace"}}}


def template_of(revision: Revision) -> core_v1.PodTemplateSpec:
    content: Any = revision.data
    found = {key: value for key, value in content["spec"]["template"].items() if key != "$patch"}
    return msgspec.convert(found, core_v1.PodTemplateSpec)


def hash_of(revision: Revision) -> str:
    """What the pods of this revision carry as label."""
    return revision.metadata.labels.get(HASH, "")


def sync(owner: Any, kind: Kind, selector: Selector, view: View) -> Generator[Action, Any, History]:
    """Find the revision of the owner's template, or make it; the newest has the highest number."""
    claimed = yield from owners.claim(Revision, owner, kind, selector, view)
    known: list[Revision] = sorted(claimed, key=lambda each: (each.revision or 0, each.metadata.name or ""))
    wanted, last = data(owner.spec.template), known[-1].revision or 0 if known else 0
    same = next((each for each in reversed(known) if each.data == wanted), None)
    if same is None:
        newest = yield from _make(owner, kind, wanted, last + 1)
    elif (same.revision or 0) < last:
        newest = yield Update(replace(same, revision=last + 1))
    else:
        newest = same
    old = tuple(each for each in known if each.metadata.uid != newest.metadata.uid)
    return History(newest, old)


def _make(owner: Any, kind: Kind, wanted: dict[str, Any], number: int) -> Generator[Action, Any, Revision]:
    name, metadata = owner.metadata.name or "", owner.metadata
    digest = naming.digest(msgspec.json.encode(wanted, order="deterministic"), owner.status.collisionCount or 0)
    described = Revision(
        metadata=meta_v1.ObjectMeta(
            name=f"{name}-{digest}",
            namespace=metadata.namespace,
            labels={**(owner.spec.template.metadata.labels if owner.spec.template.metadata else {}), HASH: digest},
            ownerReferences=(owners.reference(owner, kind),),
        ),
        data=wanted,
        revision=number,
    )
    try:
        made: Revision = yield Create(described)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        there: Revision = yield Call(
            lambda client: client.get(Revision, described.metadata.name, metadata.namespace or "")
        )
        above = owners.controller_of(there)
        if there.data == wanted and above is not None and above.uid == metadata.uid:
            return there
        collisions = (owner.status.collisionCount or 0) + 1
        yield UpdateStatus(replace(owner, status=replace(owner.status, collisionCount=collisions)))
        raise Retry(0, f"controller revision {described.metadata.name} exists already") from error
    return made


def clean(old: Sequence[Revision], limit: int | None, used: Collection[str]) -> Plan:
    """Keep the `limit` newest of the old ones, and those that pods still run (hashes in `used`)."""
    idle = [each for each in old if hash_of(each) not in used and each.metadata.name not in used]
    for each in idle[: max(0, len(idle) - (10 if limit is None else limit))]:
        yield Delete(each)
