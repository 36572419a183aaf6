"""What a command gets from its surroundings: streams, colour, environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO


class CommandError(Exception):
    """A refusal for the person at the terminal; `code` becomes the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Context:
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]

    @classmethod
    def of_process(cls) -> Context:
        return cls(sys.stdin, sys.stdout, sys.stderr, os.environ)

    def out(self, text: str) -> None:
        print(text, file=self.stdout)

    def err(self, text: str) -> None:
        """Progress and errors, so that standard output stays the answer alone."""
        print(text, file=self.stderr, flush=True)

    def color(self, stream: TextIO) -> bool:
        """Whether to colour `stream`: a terminal, and NO_COLOR (no-color.org) is not set."""
        return stream.isatty() and not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"
