"""What the git server has been asked for, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sampan.runtime.metrics import Sample

DONE, REFUSED, BUSY, FAILED, LOST = "done", "refused", "busy", "failed", "lost"
"""Outcomes: 4xx are refused, 503 is busy, other 5xx are failed; of what is lost, half an answer came or none."""


def outcome_of(status: int) -> str:
    return DONE if status < 400 else REFUSED if status < 500 else BUSY if status == 503 else FAILED


class Counts:
    """`requests` by kind (refs, fetch, push, webhook, other) and outcome, `deliveries` by outcome."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.deliveries: Counter[str] = Counter()
        self.pushes_refused = 0

    def samples(self) -> Iterator[Sample]:
        text = "Requests to the git server, by kind and outcome."
        for (kind, outcome), count in sorted(self.requests.items()):
            labels = {"kind": kind, "outcome": outcome}
            yield Sample("sampan_git_requests_total", "counter", text, labels, count)
        for outcome, count in sorted(self.deliveries.items()):
            text = "Deliveries of webhooks, by what came of them."
            yield Sample("sampan_git_deliveries_total", "counter", text, {"outcome": outcome}, count)
        text = "Pushes that were not taken for what was in them."
        yield Sample("sampan_git_pushes_refused_total", "counter", text, {}, self.pushes_refused)
