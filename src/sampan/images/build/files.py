"""The steps that change files: COPY and ADD, RUN, WORKDIR. Each looks into the cache before it does anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sampan.images.build import (
    cache,
    certificates,
    commands,
    copying,
    downloads,
    graph,
    job,
    layering,
    metadata,
    mounting,
    rootfs,
)
from sampan.images.build.cache import Cache
from sampan.images.build.copying import Wanted
from sampan.images.build.digests import Digests, of_stream
from sampan.images.build.errors import BuildError, StepFailed
from sampan.images.build.ignore import NOTHING
from sampan.images.build.instructions import Copy, Instruction, Run, Stage, Workdir
from sampan.images.build.metadata import Variables
from sampan.images.build.placing import Piece
from sampan.images.build.progress import Step
from sampan.images.build.request import INSECURE, Request
from sampan.images.build.rootfs import Rootfs
from sampan.images.build.selection import Item
from sampan.images.build.state import Layer, State
from sampan.images.build.workshop import Bench, Workshop
from sampan.images.store import ImageStore


@dataclass(frozen=True, slots=True)
class Outcome:
    """`layer` is None when no file changed."""

    state: State
    layer: Layer | None
    cached: bool


Origin = Callable[[graph.Origin], Awaitable[State]]


@dataclass(slots=True)
class Files:
    """What these steps need of a build. `origin` waits for a stage or an image; `turns` bound commands at once."""

    store: ImageStore
    workshop: Workshop
    request: Request
    variables: Variables
    turns: asyncio.Semaphore
    origin: Origin
    cache: Cache
    swept: bool = False
    _context: Rootfs | None = None
    _digests: Digests | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The context and what is remembered of its files, for the time of the build."""
        name = cache.key("context", (), self.request.context)[:24]
        self._digests = Digests(f"{self.workshop.data}/digests/{name}.json")
        with rootfs.opened(self.request.context) as context:
            self._context = context
            yield
        self._digests.save()

    @property
    def context(self) -> Rootfs:
        assert self._context is not None
        return self._context

    def _digest(self, path: str, item: Item) -> str:
        assert self._digests is not None
        return self._digests.of(path, item.path, item.status)

    @contextlib.asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        """A place to work; the first one clears what dead builds left."""
        if not self.swept:
            self.swept = True
            await self.store.call(self.workshop.sweep)
        manager = self.workshop.bench()
        bench = await self.store.call(manager.__enter__)
        try:
            yield bench
        finally:
            await self.store.call(lambda: manager.__exit__(None, None, None))

    def _cached(self, key: str, state: State) -> Outcome | None:
        entry = None if self.request.no_cache else self.cache.get(key)
        return None if entry is None else Outcome(state, cache.layer(entry), cached=True)

    async def step(self, stage: Stage, instruction: Instruction, state: State, report: Step) -> Outcome | None:
        """None for an instruction that changes no file. Raises BuildError, ValueError."""
        if isinstance(instruction, Copy):
            return await self._copy(stage, instruction, state)
        if isinstance(instruction, Run):
            return await self._run(stage, instruction, state, report)
        if isinstance(instruction, Workdir):
            return await self._workdir(instruction, state)
        return None

    # WORKDIR

    async def _workdir(self, step: Workdir, state: State) -> Outcome:
        state = metadata.workdir(step, state, self.variables)
        key = cache.key("workdir", state.chain, state.workdir, state.user, self.request.epoch)
        found = self._cached(key, state)
        if found is not None:
            return found
        async with self._bench() as bench:
            layer = await self.store.call(
                lambda: layering.directory(self.store, state, bench, state.workdir, self.request.epoch)
            )
        self.cache.put(key, layer, step.text)
        return Outcome(state, layer, cached=False)

    # COPY and ADD

    async def _copy(self, stage: Stage, step: Copy, state: State) -> Outcome:
        wish = copying.wanted(step, state, self.variables)
        if step.from_:
            return await self._copy_from(stage, step, state, wish)
        if any(map(copying.is_remote, wish.sources)):
            return await self._add_remote(step, state, wish)
        return await self.store.call(lambda: self._copy_context(step, state, wish))

    def _copy_context(self, step: Copy, state: State, wish: Wanted) -> Outcome:
        pieces, description = copying.gather(
            wish, self.context, self._digest, self.request.ignore, "the build context", context=True
        )
        key = self._copy_key(state, wish, pieces, description)
        found = self._cached(key, state)
        if found is not None:
            return found
        self._sweep()
        with self.workshop.bench() as bench:
            return self._place(step, state, wish, pieces, bench, (key,))

    def _sweep(self) -> None:
        if not self.swept:
            self.swept = True
            self.workshop.sweep()

    def _copy_key(self, state: State, wish: Wanted, pieces: list[Piece], description: list[Any]) -> str:
        copying.check(wish, pieces)
        return cache.key("copy", state.chain, wish.description, description, self.request.epoch)

    def _place(
        self, step: Copy, state: State, wish: Wanted, pieces: list[Piece], bench: Bench, keys: tuple[str, ...]
    ) -> Outcome:
        wanted = copying.placed(wish, pieces, keep_xattrs=bool(step.from_))
        layer = layering.copied(self.store, state, bench, wanted, self.request.epoch)
        for key in keys:
            self.cache.put(key, layer, step.text)
        return Outcome(state, layer, cached=False)

    async def _copy_from(self, stage: Stage, step: Copy, state: State, wish: Wanted) -> Outcome:
        """First by what the other stage is made of, then by what is copied of it."""
        origin = graph.source(self.request.file, stage, step, step.from_)
        other = await self.origin(origin)
        inline = [[name, data.decode(errors="surrogateescape")] for name, data in wish.documents]
        parts = (list(other.chain), list(wish.sources), inline, wish.description, self.request.epoch)
        quick = cache.key("copy-from", state.chain, *parts)
        found = self._cached(quick, state)
        if found is not None:
            return found
        return await self.store.call(lambda: self._copy_stage(step, state, wish, other, quick))

    def _copy_stage(self, step: Copy, state: State, wish: Wanted, other: State, quick: str) -> Outcome:
        self._sweep()
        source = layering.directories(self.store, other)
        with self.workshop.bench() as bench, rootfs.merged(source, f"{bench.data}/source") as tree:
            pieces, description = copying.gather(
                wish, tree, lambda path, item: digest_of(path), NOTHING, step.from_, context=False
            )
            key = self._copy_key(state, wish, pieces, description)
            found = self._cached(key, state)
            if found is None:
                return self._place(step, state, wish, pieces, bench, (key, quick))
            self.cache.put(quick, found.layer, step.text)
            return found

    async def _add_remote(self, step: Copy, state: State, wish: Wanted) -> Outcome:
        remote = [source for source in wish.sources if copying.is_remote(source)]
        for url in remote:
            downloads.check(url)
        async with self._bench() as bench:
            fetched: list[tuple[Piece, str]] = []
            for number, url in enumerate(remote):
                name = downloads.name_of(url) if wish.target.endswith("/") or len(wish.sources) > 1 else "file"
                path = f"{bench.data}/download-{number}"
                digest = await downloads.fetch(url, path, wish.checksum)
                fetched.append((copying.downloaded(path, name, unpack=step.unpack is True), digest))
            return await self.store.call(lambda: self._place_remote(step, state, wish, fetched, bench))

    def _place_remote(
        self, step: Copy, state: State, wish: Wanted, fetched: list[tuple[Piece, str]], bench: Bench
    ) -> Outcome:
        pieces, description = copying.gather(
            wish, self.context, self._digest, self.request.ignore, "the build context", context=True
        )
        pieces = [*(piece for piece, _ in fetched), *pieces]
        description = [*([piece.name, piece.archive, digest] for piece, digest in fetched), *description]
        key = self._copy_key(state, wish, pieces, description)
        return self._cached(key, state) or self._place(step, state, wish, pieces, bench, (key,))

    # RUN

    async def _run(self, stage: Stage, step: Run, state: State, report: Step) -> Outcome:
        if step.privileged and INSECURE not in self.request.allow:
            raise BuildError(
                "RUN --security=insecure would let the command do what root may on this machine",
                f"if you trust it, build with --allow {INSECURE}",
            )
        command = commands.command(step, state)
        plans = [await self._plan(stage, step, state, number) for number in range(len(step.mounts))]
        env = commands.environment(state, self.request)
        seen = await self.store.call(lambda: mounting.describe(plans, self.context, self.request.ignore, self._digest))
        key = cache.key(
            "run", state.chain, command.words, command.script, commands.counted(env, state), state.workdir,
            state.user, step.network, step.privileged, seen,
        )  # fmt: skip
        found = self._cached(key, state)
        if found is not None:
            return found
        from sampan.images.build import execute  # late: where nothing runs, nothing of it is loaded

        async with self.turns, self._bench() as bench:
            with contextlib.ExitStack() as held:
                made = await self._mounts(plans, bench, held)
                if command.script:
                    made.binds.append(commands.script(bench, command.script))
                if self.request.certificates:
                    made.binds.append(job.Bind(self.request.certificates, certificates.TARGET, readonly=True))
                await self._execute(step, state, command.words, {**env, **made.env}, made, bench, report)
            layer = await self.store.call(
                lambda: layering.changed(self.store, execute.upper(bench), self.request.epoch)
            )
        self.cache.put(key, layer, step.text)
        return Outcome(state, layer, cached=False)

    async def _plan(self, stage: Stage, step: Run, state: State, number: int) -> mounting.Plan:
        mount = mounting.expand(step.mounts[number], state, self.variables)
        if not mount.from_:
            return mounting.Plan(mount)
        other = await self.origin(graph.source(self.request.file, stage, step, mount.from_))
        return mounting.Plan(mount, layering.directories(self.store, other), other.chain)

    async def _mounts(self, plans: list[mounting.Plan], bench: Bench, held: contextlib.ExitStack) -> mounting.Prepared:
        made = mounting.Mounts(self.workshop, bench, self.request, self.context, held)
        return await commands.in_thread(lambda: made.prepare(plans))

    async def _execute(
        self,
        step: Run,
        state: State,
        words: tuple[str, ...],
        env: Mapping[str, str],
        made: mounting.Prepared,
        bench: Bench,
        report: Step,
    ) -> None:
        from sampan.images.build import execute

        command = job.Job(
            layering.directories(self.store, state),
            words,
            env,
            state.workdir,
            state.user,
            made.binds,
            made.memories,
            network=step.network != "none",
            privileged=step.privileged,
        )
        code = await execute.run(self.workshop, bench, command, report.say)
        if code != 0:
            where = f"{self.request.file.file}:{step.line}"
            text = " ".join(step.text.split())
            raise StepFailed(f"{where}: {text}: exit code {code}{commands.hint(code)}", code, "\n".join(report.kept))


def digest_of(path: str) -> str:
    with open(path, "rb") as file:
        return of_stream(file)


def with_layer(state: State, layer: Layer | None) -> State:
    """The state on top of a new layer."""
    return state if layer is None else replace(state, layers=(*state.layers, layer))
