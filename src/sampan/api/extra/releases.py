"""Releases: what an App was, one ControllerRevision each, so that any of them can come back. Pure.

A release is the image and the settings. How many pods there are is no part of it: going back to an older release does
not undo scaling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from sampan.api import codec
from sampan.api.extra.expansion import APP
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import apps_v1

Document = dict[str, Any]
Revision = apps_v1.ControllerRevision

LIMIT = 20
"""Releases kept; the oldest go."""
IMAGE = "sampan.dev/image"
"""Annotation of a release: the image's digest as the node resolved it."""
SUCCEEDED = "sampan.dev/succeeded"
"""Annotation of a release: when all of its pods were ready for the first time, in RFC 3339."""
CAUSE = "kubernetes.io/change-cause"
"""Annotation of an app and of its releases: why it changed, in a person's words."""
KIND = "sampan.dev/release"
"""Label of a release; its value is the release's number."""


def settings(app: App) -> Document:
    """What makes a release, as a part of an App: `{"spec": {...}}`."""
    spec = codec.document(replace(app.spec, replicas=None, scale=None))
    # What is empty is left out, so that a release of today equals one from before a field was invented.
    return {"spec": {key: value for key, value in spec.items() if value not in ([], {}, None)}}


def name(app: App, number: int) -> str:
    return f"{app.metadata.name}-release-{number}"


def is_release(revision: Revision) -> bool:
    return KIND in revision.metadata.labels and APP in revision.metadata.labels


def history(revisions: Iterable[Revision]) -> list[Revision]:
    """The releases among an app's revisions, oldest first."""
    return sorted((each for each in revisions if is_release(each)), key=lambda each: each.revision or 0)


def image(revision: Revision) -> str:
    data: Any = revision.data
    return str(((data or {}).get("spec") or {}).get("source", {}).get("image") or "")


def target(known: Sequence[Revision], current: int | None, wanted: int | None) -> Revision:
    """Where to go back to: release `wanted`, or the last one before the current that worked.

    Raises LookupError with words for the person who asked.
    """
    if not known:
        raise LookupError("it has no releases yet")
    numbers = ", ".join(str(each.revision) for each in known)
    if wanted is not None:
        for each in known:
            if each.revision == wanted:
                return each
        raise LookupError(f"there is no release {wanted}; there are {numbers}")
    before = [each for each in known if (each.revision or 0) < (current or 0)]
    worked = [each for each in before if SUCCEEDED in each.metadata.annotations]
    if not before:
        raise LookupError(f"there is no release before {current}")
    return (worked or before)[-1]


def restored(app: App, revision: Revision) -> Document:
    """The App's spec as it was in a release, with as many pods as it has now. `source.path` and the like come along."""
    data: Any = revision.data
    spec: Document = dict((data or {}).get("spec") or {})
    if spec.get("type") == app.spec.type or (spec.get("type") in (None, "stateless", "stateful")):
        now = codec.document(app.spec)
        spec |= {key: now[key] for key in ("replicas", "scale") if key in now}
    return spec
