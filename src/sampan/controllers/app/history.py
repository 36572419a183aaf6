"""An App's releases: one more each time that its image or settings change."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sampan.api.extra import releases, steps
from sampan.api.extra.expansion import APP, MANAGED
from sampan.api.extra.releases import CAUSE, IMAGE, KIND, LIMIT, SUCCEEDED, Revision
from sampan.api.extra.sampan_v1 import App
from sampan.api.kinds.sampan import APP as APP_KIND
from sampan.api.types import meta_v1
from sampan.controllers import owners
from sampan.runtime.actions import Action, Create, Delete, Emit, Patch, Plan, View


def known(app: App, view: View) -> list[Revision]:
    return releases.history(owners.owned(Revision, app, view))


def record(app: App, view: View) -> Generator[Action, Any, int]:
    """The number of the release that the App describes now; 0 while it has no image."""
    if not app.spec.source.image:
        return 0
    found, data = known(app, view), releases.settings(app)
    newest = found[-1] if found else None
    if newest is not None and newest.data == data:
        return newest.revision or 0
    number = (newest.revision or 0) + 1 if newest is not None else 1
    cause = app.metadata.annotations.get(CAUSE)
    if newest is not None and newest.metadata.annotations.get(CAUSE) == cause:
        cause = None  # It was the last release's; whoever made this change gave no reason.
    yield Create(
        Revision(
            metadata=meta_v1.ObjectMeta(
                name=releases.name(app, number),
                namespace=app.metadata.namespace,
                labels={APP: app.metadata.name or "", KIND: str(number), MANAGED: "sampan"},
                annotations={CAUSE: cause} if cause else {},
                ownerReferences=(owners.reference(app, APP_KIND),),
            ),
            data=data,
            revision=number,
        )
    )
    yield Emit(app, "Normal", "Released", f"release {number}: {app.spec.source.image}")
    for old in found[: max(0, len(found) + 1 - LIMIT)]:
        yield Delete(old)
    return number


def succeeded(app: App, view: View, release: int, seen: steps.Seen, now: str) -> Plan:
    """Note that the release works, and which image it is to the last bit."""
    for each in known(app, view):
        if each.revision == release and SUCCEEDED not in each.metadata.annotations:
            digest = steps.image_digest(steps.current(app, seen))
            yield Patch(each, {"metadata": {"annotations": {SUCCEEDED: now, **({IMAGE: digest} if digest else {})}}})
