"""What goes wrong in a build, told to the person at the terminal: where, what, and what to do."""

from __future__ import annotations


class BuildError(Exception):
    """A build that cannot go on. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint


class DockerfileError(BuildError):
    """Something is wrong in line `line` of `file`."""

    def __init__(self, file: str, line: int, message: str, hint: str = "") -> None:
        super().__init__(f"{file}:{line}: {message}", hint)
        self.file = file
        self.line = line


class StepFailed(BuildError):
    """A command of a RUN ended with `code`; `tail` is the end of its output."""

    def __init__(self, message: str, code: int, tail: str) -> None:
        super().__init__(message)
        self.code = code
        self.tail = tail
