"""The objects that an App stands for: made when they are absent, changed when they differ, given up when not wanted."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Generator, Mapping
from typing import Any

from msgspec.structs import replace

from sampan.api import codec, kinds, quantity
from sampan.api.errors import StatusError, forbidden_error
from sampan.api.extra.expansion import APP, child, claim_names, expand
from sampan.api.extra.sampan_v1 import App
from sampan.api.kinds.kind import Document, Kind
from sampan.api.kinds.sampan import APP as APP_KIND
from sampan.api.types import apps_v1, autoscaling_v2, batch_v1, core_v1, meta_v1, networking_v1
from sampan.client.client import Client
from sampan.controllers import owners
from sampan.controllers.app.watching import BY_APP
from sampan.runtime.actions import Action, Call, Create, Delete, Emit, Plan, Update, View, no_longer

TYPES: tuple[type[Any], ...] = (
    core_v1.ConfigMap,
    core_v1.PersistentVolumeClaim,
    core_v1.Service,
    apps_v1.Deployment,
    apps_v1.StatefulSet,
    apps_v1.DaemonSet,
    batch_v1.Job,
    batch_v1.CronJob,
    autoscaling_v2.HorizontalPodAutoscaler,
    networking_v1.Ingress,
)
"""What an App may own, Secrets aside, which no cache holds."""

_KINDS = {(kind.api_version, kind.name): kind for kind in kinds.ALL}
_REFUSALS = (400, 403, 422)
"""Answers that trying again does not change."""
SECRET_BYTES = 24


def bring_about(
    app: App, needed: Mapping[str, App], release: int, view: View
) -> Generator[Action, Any, dict[str, str]]:
    """Returns the server's words about what it refused, by kind; a refusal of one object does not stop the others."""
    refusals: dict[str, str] = {}
    wanted: set[tuple[type, str]] = set()
    for document in expand(app, needed, release=release):
        kind = _KINDS[document["apiVersion"], document["kind"]]
        name = document["metadata"]["name"]
        wanted.add((kind.type, name))
        try:
            if kind.type is core_v1.Secret:
                yield Call(lambda client: _make_secret(client, app))
            else:
                yield from _bring(app, kind, document, view)
        except StatusError as error:
            if error.code not in _REFUSALS or no_longer(error):
                raise
            refusals[kind.name] = error.status.message or str(error)
    try:
        yield from _enlarge(app, view)
    except StatusError as error:
        if error.code not in _REFUSALS or no_longer(error):
            raise
        refusals["PersistentVolumeClaim"] = error.status.message or str(error)
    if app.spec.source.image:
        yield from _give_up(app, wanted, view)
    return refusals


def _enlarge(app: App, view: View) -> Plan:
    """The claims of a stateful app, which its StatefulSet makes once and never changes: those too small get more."""
    if app.spec.type != "stateful":
        return
    sizes = dict(zip(claim_names(app), (volume.size or "1Gi" for volume in app.spec.volumes), strict=True))
    for claim in view.by(core_v1.PersistentVolumeClaim, BY_APP, f"{app.metadata.namespace}/{app.metadata.name}"):
        name = claim.metadata.name or ""
        size = next((size for prefix, size in sizes.items() if name.removeprefix(prefix).isdigit()), "")
        requests = claim.spec.resources.requests if claim.spec.resources is not None else {}
        if size and quantity.value(size) > quantity.value(requests.get("storage", "0")):
            resources = replace(claim.spec.resources, requests={**requests, "storage": size})
            yield Update(replace(claim, spec=replace(claim.spec, resources=resources)))


def _bring(app: App, kind: Kind, document: Document, view: View) -> Plan:
    namespace, name = app.metadata.namespace or "", document["metadata"]["name"]
    sized = "replicas" in document.get("spec", {})
    wanted = described(kind, document)
    owner = owners.reference(app, APP_KIND)
    # Data outlive the app that wrote them: a claim has no owner, and the app finds it again by its name.
    references = () if kind.type is core_v1.PersistentVolumeClaim else (owner,)
    there: Any = view.get(kind.type, name, namespace)
    if there is None:
        yield Create(replace(wanted, metadata=replace(wanted.metadata, ownerReferences=references)))
        return
    refuse_strangers(app, kind, there)
    if there.metadata.deletionTimestamp is not None or kind.type is batch_v1.Job:
        return
    content = merged(wanted, there, sized)
    labels = {**there.metadata.labels, **wanted.metadata.labels}
    owned = any(each.uid == owner.uid for each in there.metadata.ownerReferences)
    kept = there.metadata.ownerReferences if owned or not references else (*there.metadata.ownerReferences, owner)
    content = replace(content, metadata=replace(there.metadata, labels=labels, ownerReferences=kept))
    if not within(codec.document(content), codec.document(there)):
        yield Update(content)


def described(kind: Kind, document: Document) -> Any:
    """The Struct of a document, with the server's defaults, so that it compares with what the server has."""
    kind.default(document)
    codec.normalize(kind, document)
    return codec.decode(kind, document)


def refuse_strangers(app: App, kind: Kind, there: Any) -> None:
    """Raises Forbidden when the object of that name is somebody else's."""
    above = owners.controller_of(there)
    ours = above.uid == app.metadata.uid if above is not None else there.metadata.labels.get(APP) == app.metadata.name
    if not ours:
        why = f"there is one of that name already that does not belong to the app {app.metadata.name}"
        raise forbidden_error(kind.plural, kind.group, there.metadata.name or "", f"{why}; give the app another name")


def merged(wanted: Any, there: Any, sized: bool) -> Any:
    """`there` as it is wanted. What others decide stays: the number of pods that an autoscaler sets, addresses."""
    if isinstance(there, core_v1.PersistentVolumeClaim):
        resources = wanted.spec.resources if wanted.spec.resources is not None else there.spec.resources
        return replace(there, spec=replace(there.spec, resources=resources))
    if isinstance(there, core_v1.ConfigMap):
        return replace(there, data=wanted.data)
    spec = wanted.spec
    if isinstance(there, apps_v1.Deployment | apps_v1.StatefulSet) and not sized:
        spec = replace(spec, replicas=there.spec.replicas)
    if isinstance(there, apps_v1.StatefulSet):
        spec = replace(spec, volumeClaimTemplates=there.spec.volumeClaimTemplates)
    return replace(there, spec=spec)


def within(wanted: Any, there: Any) -> bool:
    """Whether `there` has all that is wanted; what it has besides was decided by others. Lists count as a whole."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            key in there and within(value, there[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        pairs = zip(wanted, there, strict=False) if isinstance(there, list) else ()
        return isinstance(there, list) and len(wanted) == len(there) and all(within(a, b) for a, b in pairs)
    return bool(wanted == there)


async def _make_secret(client: Client, app: App) -> None:
    """Values are made up once: those that are there stay."""
    name, namespace = child(app, "secret"), app.metadata.namespace or ""
    labels = {APP: app.metadata.name or ""}
    try:
        there = await client.get(core_v1.Secret, name, namespace)
    except StatusError as error:
        if error.code != 404:
            raise
        metadata = meta_v1.ObjectMeta(
            name=name, namespace=namespace, labels=labels, ownerReferences=(owners.reference(app, APP_KIND),)
        )
        made = core_v1.Secret(metadata=metadata, type="Opaque", data=_values(app, {}))
        await client.create(made)
        return
    refuse_strangers(app, _KINDS["v1", "Secret"], there)
    values = _values(app, there.data)
    if values != dict(there.data):
        await client.update(replace(there, data=values))


def _values(app: App, known: Mapping[str, str]) -> dict[str, str]:
    made = {
        name: base64.b64encode(secrets.token_urlsafe(SECRET_BYTES).encode()).decode()
        for name in app.spec.secrets
        if name not in known
    }
    return {**known, **made}


def _give_up(app: App, wanted: set[tuple[type, str]], view: View) -> Plan:
    """What the app owns and does not stand for any more."""
    for type in TYPES:
        for object in owners.owned(type, app, view):
            if (type, object.metadata.name) in wanted or object.metadata.deletionTimestamp is not None:
                continue
            yield Delete(object, propagation="Background")
            yield Emit(app, "Normal", "Removed", f"removed {type.__name__} {object.metadata.name}, not wanted any more")
