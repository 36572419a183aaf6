"""What is wrong with a Jenkinsfile."""

from __future__ import annotations


class PipelineError(ValueError):
    """For the person who wrote the Jenkinsfile."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"Jenkinsfile, line {line}: {message}")
        self.line = line
