"""Rules of roles as one line each: `rule("get list", "core apps", "pods deployments")`."""

from __future__ import annotations

from sampan.api.kinds.kind import Document

READ = "get list watch"
WRITE = "create update patch delete deletecollection"
ALL = f"{READ} {WRITE}"
READ_UPDATE = f"{READ} update patch"


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Document:
    """A PolicyRule for resources; words are separated by spaces and sorted; `core` is the nameless group."""
    made: Document = {
        "apiGroups": sorted("" if group == "core" else group for group in groups.split()),
        "resources": sorted(resources.split()),
        "verbs": sorted(verbs.split()),
    }
    if names:
        made["resourceNames"] = sorted(names.split())
    return made


def urls(verbs: str, paths: str) -> Document:
    """A PolicyRule for paths that are no resources."""
    return {"nonResourceURLs": sorted(paths.split()), "verbs": sorted(verbs.split())}


EVENTS = rule("create update patch", "core events.k8s.io", "events")
