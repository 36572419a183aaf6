"""What a person sees of a build: one line a step, and on a terminal what the running step said last."""

from __future__ import annotations

import shutil
import time
from collections import deque
from typing import TextIO

TAIL = 30
"""Lines of output that a failure shows."""


class Step:
    """One step while it runs. `kept` are the last lines of its output."""

    def __init__(self, progress: Progress, label: str, text: str) -> None:
        self._progress = progress
        self._started = time.perf_counter()
        self.label = label
        self.text = text
        self.kept: deque[str] = deque(maxlen=TAIL)

    def say(self, line: str) -> None:
        """A line of the command's output."""
        self.kept.append(line)
        self._progress.output(self, line)

    def done(self, how: str = "") -> None:
        """`how` is cached, or "" for the time it took."""
        self._progress.finished(self, how or seconds(time.perf_counter() - self._started))

    def failed(self) -> None:
        self._progress.finished(self, "failed")


class Progress:
    """Writes lines to `out`. `live` is a terminal that one line of may change; `verbose` shows all output."""

    def __init__(self, out: TextIO, *, live: bool = False, verbose: bool = False, quiet: bool = False) -> None:
        self._out = out
        self._live = live and not quiet
        self._quiet = quiet
        self._verbose = verbose
        self._shown = False

    def step(self, label: str, text: str) -> Step:
        step = Step(self, label, " ".join(text.split()))
        self._transient(f"{step.label} {step.text}")
        return step

    def output(self, step: Step, line: str) -> None:
        if self._verbose:
            self._line(f"{step.label} | {line}")
        elif line.strip():
            self._transient(f"{step.label} | {line}")

    def finished(self, step: Step, how: str) -> None:
        width = self._width()
        room = max(20, width - len(step.label) - len(how) - 4)
        text = step.text if len(step.text) <= room else step.text[: room - 3] + "..."
        self._line(f"{step.label} {text.ljust(room)}  {how}".rstrip())

    def note(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        self.clear()
        print(text, file=self._out, flush=True)

    def _transient(self, text: str) -> None:
        if self._live:
            print(f"\r\x1b[K{text[: self._width() - 1]}", end="", file=self._out, flush=True)
            self._shown = True

    def clear(self) -> None:
        """Take the changing line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=self._out, flush=True)
            self._shown = False

    def _width(self) -> int:
        return shutil.get_terminal_size((100, 24)).columns if self._live else 100


def seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 100 else f"{value // 60:.0f}m{value % 60:02.0f}s"
