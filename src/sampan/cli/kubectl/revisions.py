"""The revisions of a workload: a Deployment's ReplicaSets, the ControllerRevisions of the others."""

from __future__ import annotations

from typing import Any, NamedTuple

from sampan.cli.context import CommandError
from sampan.cli.kubectl import pods
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session

Document = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"


class Revision(NamedTuple):
    """`source` is the ReplicaSet or ControllerRevision, `template` the pod template of then."""

    number: int
    cause: str
    source: Document
    template: Document


async def of(session: Session, target: Target, document: Document) -> list[Revision]:
    """In order, the newest last."""
    plural = "replicasets" if document["kind"] == "Deployment" else "controllerrevisions"
    path = f"/apis/apps/v1/namespaces/{target.namespace}/{plural}"
    listed = await session.read(path, {"labelSelector": pods.selector_text(document) or ""})
    uid = document["metadata"]["uid"]
    mine = [
        item
        for item in listed.get("items") or ()
        if any(o.get("controller") and o["uid"] == uid for o in item["metadata"].get("ownerReferences") or ())
    ]
    return sorted((_revision(item, plural) for item in mine), key=lambda each: each.number)


def _revision(item: Document, plural: str) -> Revision:
    annotations = item["metadata"].get("annotations") or {}
    if plural == "replicasets":
        number, template = int(annotations.get(REVISION) or 0), item["spec"]["template"]
        kind = "ReplicaSet"
    else:
        number = int(item.get("revision") or 0)
        template = ((item.get("data") or {}).get("spec") or {}).get("template") or {}
        kind = "ControllerRevision"
    source = {"apiVersion": "apps/v1", "kind": kind, **item}
    return Revision(number, annotations.get(CAUSE) or "<none>", source, template)


def find(
    known: list[Revision], number: int, absent: str = "unable to find specified revision {number} in history"
) -> Revision:
    for each in known:
        if each.number == number:
            return each
    raise CommandError(f"error: {absent}".format(number=number))


def table(known: list[Revision]) -> list[str]:
    rows = [["REVISION", "CHANGE-CAUSE"], *([str(each.number), each.cause] for each in known)]
    return Columns(padding=2, narrowest=0).lines(rows)


def template_text(revision: Revision) -> str:
    from sampan.cli.kubectl.describing import pod_template

    text: str = pod_template.text(revision.template)
    return text


def back(document: Document, revision: Revision) -> tuple[Any, str]:
    """The patch that restores a revision's pod template, and its kind."""
    if document["kind"] == "Deployment":
        template = {key: value for key, value in revision.template.items() if key != "metadata"}
        meta = dict(revision.template.get("metadata") or {})
        labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != "pod-template-hash"}
        template["metadata"] = {**meta, "labels": labels}
        return [{"op": "replace", "path": "/spec/template", "value": template}], "json"
    return revision.source["data"], "strategic"
