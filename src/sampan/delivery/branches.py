"""Which branch deploys. Pure: the git server asks before it takes a push, a run before it deploys."""

from __future__ import annotations

from sampan.api.extra.sampan_v1 import App

HEADS, TAGS = "refs/heads/", "refs/tags/"


def deploys(app: App | None, head: str) -> str:
    """The ref that the App names, else the repository's own main branch, `head`."""
    git = app.spec.source.git if app is not None else None
    if git is None or not git.ref:
        return head
    return git.ref if git.ref.startswith("refs/") else f"{HEADS}{git.ref}"
