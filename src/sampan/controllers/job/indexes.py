"""Completion indexes: sets of them as text (`0-3,5`), and what the pods of an indexed Job say about them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from sampan.api.types import batch_v1, core_v1

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"


def is_indexed(job: batch_v1.Job) -> bool:
    return job.spec.completionMode == "Indexed"


def limit_per_index(job: batch_v1.Job) -> int | None:
    return job.spec.backoffLimitPerIndex if is_indexed(job) else None


def parse(text: str | None, completions: int) -> set[int]:
    """Those of `0-3,5` that are still below `completions`."""
    found: set[int] = set()
    for part in (text or "").split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return found


def show(indexes: Iterable[int]) -> str:
    """`0-3,5`; two neighbours are written `6,7`."""
    return ",".join(_runs(sorted(indexes)))


def _runs(ordered: list[int]) -> Iterator[str]:
    at = 0
    while at < len(ordered):
        end = at
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        if end - at > 1:
            yield f"{ordered[at]}-{ordered[end]}"
        else:
            yield from (str(each) for each in ordered[at : end + 1])
        at = end + 1


def index_of(pod: core_v1.Pod) -> int | None:
    text = pod.metadata.annotations.get(INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def failures(pod: core_v1.Pod) -> int:
    """Failures of this pod's index before it."""
    return _count(pod, FAILURES)


def ignored_failures(pod: core_v1.Pod) -> int:
    return _count(pod, IGNORED_FAILURES)


def _count(pod: core_v1.Pod, annotation: str) -> int:
    text = pod.metadata.annotations.get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def first_pending(completions: int, taken: Set[int], count: int) -> list[int]:
    """The `count` lowest indexes that are not taken."""
    found: list[int] = []
    for index in range(completions):
        if len(found) == count:
            break
        if index not in taken:
            found.append(index)
    return found
