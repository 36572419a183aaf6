"""Prefers nodes that have the pod's images, the more the larger these are and the more nodes have them."""

from __future__ import annotations

from sampan.scheduler.arrays import Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.scores.score import HIGHEST, Kind, Score

SMALL, LARGE = 23 * 1024 * 1024, 1000 * 1024 * 1024
"""Bytes: images below SMALL do not matter, above LARGE for each container no more."""


def compute(case: Case, rows: Rows) -> Ints:
    return case.fixed("images", lambda: _compute(case))[rows]


def _compute(case: Case) -> Ints:
    snapshot = case.snapshot
    total = np.zeros(snapshot.size, np.int64)
    for name in case.profile.images:
        image = snapshot.images.get(full_name(name))
        if image is not None and snapshot.count:
            total[list(image.rows)] += image.size * len(image.rows) // snapshot.count
    large = LARGE * max(1, len(case.profile.images))
    return (np.clip(total, SMALL, large) - SMALL) * HIGHEST // (large - SMALL)


def full_name(name: str) -> str:
    """A name without tag or digest means its tag `latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] or "@" in name else f"{name}:latest"


def applies(case: Case) -> bool:
    return any(full_name(name) in case.snapshot.images for name in case.profile.images)


SCORE = Score("ImageLocality", 1, Kind.ROW, compute, applies)
