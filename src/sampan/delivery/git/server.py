"""The handler of the git server: path -> caller -> right -> repository -> process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.delivery.git import paths, repositories
from sampan.delivery.git.access import Access
from sampan.delivery.git.backend import Backend, Bounds
from sampan.delivery.git.counts import DONE, FAILED, LOST, Counts, outcome_of
from sampan.delivery.git.hooks import Hooks, Push
from sampan.delivery.git.paths import Place, Wanted, Wrong
from sampan.delivery.git.repositories import Repositories
from sampan.http.errors import BodyTooLarge, Disconnected, TimedOut
from sampan.http.types import Request, Response
from sampan.runtime.access import Caller

log = logging.getLogger(__name__)

PROCESSES, OF_ONE = 4, 3
"""Exchanges with git at once, and those of one namespace; a push whose run is followed is none any more."""
PATIENCE = 20.0
"""Seconds that an exchange waits for its turn."""
TIME = 900.0
"""Seconds that a fetch or a push may take."""
SLACK = 16 << 20
"""Bytes that a push may have besides its pack; and what a fetch may ask for."""

Answer = Callable[[Request, Place], Awaitable[Response]]


class GitServer:
    """`webhook` answers what forges elsewhere deliver."""

    def __init__(
        self,
        client: Client,
        access: Access,
        kept: Repositories,
        hooks: Hooks,
        webhook: Answer,
        counts: Counts,
        *,
        largest_push: int = repositories.LARGEST_PUSH,
    ) -> None:
        self._client = client
        self._access = access
        self._kept = kept
        self._hooks = hooks
        self._webhook = webhook
        self._counts = counts
        self._largest_push = largest_push
        self._turns = asyncio.Semaphore(PROCESSES)
        self._turns_of: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(OF_ONE))
        self._checked = ""

    async def handle(self, request: Request) -> Response:
        kind, outcome = "other", FAILED
        try:
            place = paths.hook(request.raw_path)
            if place is not None:
                kind = "webhook"
                answered = await self._webhook(request, place)
                outcome = outcome_of(answered.status)
                return answered
            wanted = paths.read(request.method, request.target)
            kind = "refs" if wanted.advertise else "push" if wanted.pushes else "fetch"
            answered = await self._exchange(request, wanted, kind)
            outcome = ""  # known at the end of its body
            return answered
        except Wrong as wrong:
            outcome = outcome_of(wrong.status)
            # git shows plain text to the person who called it.
            text = ("Content-Type", "text/plain; charset=utf-8")
            return Response(wrong.status, f"{wrong}\n".encode(), (text, *wrong.headers))
        finally:
            if outcome:
                self._counts.requests[kind, outcome] += 1

    async def _exchange(self, request: Request, wanted: Wanted, kind: str) -> Response:
        git = await self._program()
        caller = await self._access.caller(request)
        await self._access.check(caller, wanted.place, pushes=wanted.pushes)
        repository = await self._repository(wanted)
        environ = self._kept.environ() | _asked(request, wanted, caller)
        async with contextlib.AsyncExitStack() as stack:
            turn = _Turn(self._turns_of[wanted.place.namespace], self._turns)
            stack.callback(turn.give)
            await turn.take()
            push = None
            if wanted.pushes and not wanted.advertise:
                push = Push(wanted.place, repository, caller.name, turn.give)
                environ |= stack.enter_context(self._hooks.known(push))
            backend = await Backend.run(git, environ, request.content, self._bounds(wanted))
            exchange = Exchange(backend, push, stack)
            stack.push_async_callback(exchange.end)
            if push is not None:
                push.settled = exchange.settled(turn)
            status, headers = await backend.head()
            exchange.keep(stack.pop_all(), lambda outcome: self._counts.requests.update([(kind, outcome)]))
        return Response(status, exchange, headers)

    async def _program(self) -> str:
        """git, whose version is asked once."""
        program = repositories.program()
        if program != self._checked:
            process = await asyncio.create_subprocess_exec(program, "version", stdout=asyncio.subprocess.PIPE)
            said, _ = await process.communicate()
            repositories.check_version(said.decode(errors="replace"))
            self._checked = program
        return program

    def _bounds(self, wanted: Wanted) -> Bounds:
        return Bounds(SLACK + (self._largest_push if wanted.pushes else 0), TIME)

    async def _repository(self, wanted: Wanted) -> Path:
        place = wanted.place
        try:
            found = await self._client.get(core_v1.Namespace, place.namespace)
        except StatusError as error:
            if error.code != 404:
                raise Wrong(
                    503, f"the API server cannot be asked about namespace {place.namespace}: {error}"
                ) from error
            raise Wrong(
                404, f"there is no namespace {place.namespace}: sampan create namespace {place.namespace}"
            ) from None
        except FAILURES as error:
            raise Wrong(503, f"the API server does not answer: {error}") from error
        uid = found.metadata.uid or ""
        if wanted.pushes:
            if found.status.phase == "Terminating":
                raise Wrong(409, f"namespace {place.namespace} is being deleted")
            repository = self._kept.ensure(place, uid)
            self._kept.check_room(repository)
            return repository
        existing = self._kept.find(place, uid)
        if existing is None:
            raise Wrong(404, f"{place} has no repository yet; the first push makes it")
        return existing


def _asked(request: Request, wanted: Wanted, caller: Caller) -> dict[str, str]:
    """CGI's variables. Only what we have read ourselves is passed on."""
    encoding = request.headers.get("content-encoding", "")
    if encoding and (encoding not in ("gzip", "x-gzip") or wanted.pushes):
        raise Wrong(415, f"content encoding {encoding[:40]} is not taken here")
    host = request.peer.rpartition(":")[0]
    made = {
        "PATH_INFO": f"/{wanted.place.namespace}/{wanted.place.app}.git/{wanted.rest}",
        "REQUEST_METHOD": "GET" if wanted.advertise else "POST",
        "QUERY_STRING": f"service=git-{wanted.service}" if wanted.advertise else "",
        "CONTENT_TYPE": "" if wanted.advertise else f"application/x-git-{wanted.service}-request",
        "HTTP_CONTENT_ENCODING": encoding,
        "GIT_PROTOCOL": paths.protocol(request.headers.get("git-protocol", "")),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REMOTE_USER": "".join(letter for letter in caller.name if letter.isprintable() and letter not in "<>")[:200],
        "REMOTE_ADDR": host.strip("[]"),
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    if not wanted.advertise and request.headers.get("content-type", "") != made["CONTENT_TYPE"]:
        raise Wrong(415, f"send {made['CONTENT_TYPE']}")
    return {name: value for name, value in made.items() if value or name == "QUERY_STRING"}


class _Turn:
    """A place among the namespace's processes and among all, given back once."""

    def __init__(self, *turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._held: list[asyncio.Semaphore] = []

    async def take(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                for each in self._turns:
                    await each.acquire()
                    self._held.append(each)
        except TimeoutError:
            raise Wrong(503, "too many fetches and pushes are under way: try again in a moment") from None

    def give(self) -> None:
        while self._held:
            self._held.pop().release()


class Exchange:
    """The answer's body: what git writes. Closing it, whenever that is, gives back all that the exchange holds."""

    def __init__(self, backend: Backend, push: Push | None, stack: contextlib.AsyncExitStack) -> None:
        self._backend = backend
        self._push = push
        self._stack: contextlib.AsyncExitStack | None = None
        self._body = backend.body()
        self._whole = False
        self._tell: Callable[[str], None] | None = None

    def keep(self, stack: contextlib.AsyncExitStack, tell: Callable[[str], None]) -> None:
        """From now on it holds what the stack gives back; `tell` is called once, with what came of it."""
        self._stack, self._tell = stack, tell

    def settled(self, turn: _Turn) -> Callable[[], None]:
        def settle() -> None:
            self._backend.unhurried()
            turn.give()

        return settle

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            self._whole = True
            raise
        except (BodyTooLarge, TimedOut, Wrong) as error:
            # Half an answer is out, so that nothing can be said any more; the connection is cut.
            raise Disconnected(str(error)) from error

    async def end(self) -> None:
        if self._tell is not None:
            self._tell(DONE if self._whole else LOST)
            self._tell = None
        if self._push is not None and not self._whole:
            self._push.leave()
        # A push that is in is brought to its end, so that what it changed is also run.
        await self._backend.close(finish=self._push is not None)

    async def aclose(self) -> None:
        if self._stack is not None:
            await self._stack.aclose()
