"""What is wrong with a commit before anything runs: its Jenkinsfile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from sampan.delivery import groovy, pipeline, repository
from sampan.delivery.errors import PipelineError

FILE = "Jenkinsfile"


async def check(bare: Path, commit: str, *, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems, none when all is well or there is no Jenkinsfile. Raises GitError when the commit is not there.

    `environ` is what git gives to a pre-receive hook (GIT_OBJECT_DIRECTORY and its kin): new commits are found there.
    """
    try:
        text = await repository.show(bare, commit, FILE, groovy.SIZE, environ=environ)
    except repository.GitError as error:
        if not await repository.has(bare, commit, environ=environ):
            raise
        return [str(error)]
    return [] if text is None else await problems(text)


async def problems(text: str) -> list[str]:
    """In a thread: the longest text takes seconds, in which the node has other things to do."""
    return await asyncio.to_thread(_problems, text)


def _problems(text: str) -> list[str]:
    try:
        pipeline.read(text)
    except PipelineError as error:
        return [str(error)]
    return []
