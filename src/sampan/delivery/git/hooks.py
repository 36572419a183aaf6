"""The socket on which hook programs ask: who they are is known by a word that only their own push was given."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sampan.delivery.git.paths import Place

log = logging.getLogger(__name__)

QUESTION = 8 << 20
"""Bytes of a question at most: the hook sends 1 MiB of refs, which JSON makes longer."""


@dataclass(slots=True, eq=False)
class Push:
    """One push under way. `settled` is called when all of it is in and only its run is followed."""

    place: Place
    repository: Path
    by: str
    settled: Callable[[], None]
    left: bool = False
    following: asyncio.Task[Any] | None = None

    def leave(self) -> None:
        """Nobody listens any more: what is followed goes on by itself."""
        self.left = True
        if self.following is not None:
            self.following.cancel()


class Question(msgspec.Struct):
    push: str
    hook: str
    refs: list[list[str]]
    environ: dict[str, str]


Answer = Callable[[Push, Sequence[Sequence[str]], Mapping[str, str]], AsyncIterator[str]]
"""Lines to show. A hook that refuses raises Refusal behind them."""


class Refusal(Exception):
    """The push is not taken; what is wrong has been said."""


class Hooks:
    """`answers` is by the hook's name."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        self.path = path
        self._answers = answers
        self._pushes: dict[str, Push] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path), limit=QUESTION)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def known(self, push: Push) -> Iterator[dict[str, str]]:
        """While the push goes on, its hooks are answered; what they have to be told is in the environment."""
        word = secrets.token_hex(16)
        self._pushes[word] = push
        try:
            yield {"SAMPAN_PUSH": word, "SAMPAN_SOCKET": str(self.path)}
        finally:
            del self._pushes[word]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code = 1
        try:
            if not _ours(writer):
                return
            code = await self._answer(await reader.readline(), writer)
            writer.write(f"!{code}\n".encode())
            await writer.drain()
        except (ConnectionError, ValueError, msgspec.MsgspecError) as error:
            log.info("a hook of git was not answered to its end: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> int:
        question = msgspec.json.decode(line, type=Question)
        push, answer = self._pushes.get(question.push), self._answers.get(question.hook)
        if push is None or answer is None:
            writer.write(b"=this push is not known here: push again\n")
            return 1
        try:
            async for text in answer(push, question.refs, question.environ):
                for each in text.splitlines() or [""]:
                    writer.write(f"={each}\n".encode())
                await writer.drain()
        except Refusal:
            return 1
        except ConnectionError:
            raise
        except Exception:
            log.exception("%s of a push to %s failed", question.hook, push.place)
            writer.write(b"=the cluster's node failed: its log says why\n")
            return 1
        return 0


def _ours(writer: asyncio.StreamWriter) -> bool:
    """Whether a process of our own user asks."""
    made = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(uid == os.geteuid())
