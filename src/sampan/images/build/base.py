"""A base image of a distribution's packages, made by mmdebstrap: a minimal root file system in one layer.

Without documentation and translations, as the slim images have it. The same packages give the same image.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.host import processes
from sampan.images import reference as references
from sampan.images.build import commit, stack
from sampan.images.build.errors import BuildError
from sampan.images.build.execute import read_lines
from sampan.images.build.layering import repacked
from sampan.images.build.state import EPOCH, State
from sampan.images.store import ImageStore

PROGRAM = "mmdebstrap"
STABLE = {"debian": "trixie", "ubuntu": "noble"}
SUITES = {
    "debian": {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"},
    "ubuntu": {"jammy": "22.04", "noble": "24.04"},
}
VERSIONS = {suite: number for suites in SUITES.values() for suite, number in suites.items()}
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
_INCLUDED = ("/usr/share/doc/*/copyright",)
_KEPT_OPTIONS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::Retries")
_PROXIES = ("Acquire::http::Proxy", "Acquire::https::Proxy")
_MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"  # else a package does it, with perl and all
_TAIL = 15


@dataclass(frozen=True, slots=True)
class Wanted:
    distribution: str
    suite: str
    include: tuple[str, ...] = ()
    mirror: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """`before` says that it was there."""

    id: str
    names: tuple[str, ...]
    size: int
    before: bool


def suite_of_machine(distribution: str) -> str:
    """This machine's release when it is of that distribution, else the stable one."""
    try:
        text = Path("/etc/os-release").read_text()
    except FileNotFoundError:
        text = ""
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return (
        facts.get("VERSION_CODENAME") or STABLE[distribution]
        if facts.get("ID") == distribution
        else STABLE[distribution]
    )


def names_of(wanted: Wanted) -> tuple[str, ...]:
    """What it is called when nobody says: the release, slim, its number, and the name alone."""
    if wanted.names:
        return wanted.names
    tags = [wanted.suite, f"{wanted.suite}-slim", VERSIONS.get(wanted.suite, ""), "latest"]
    return tuple(f"{wanted.distribution}:{tag}" for tag in tags if tag)


def called(name: str) -> Wanted | None:
    """The base image that a name such as debian:12 or ubuntu:noble-slim means; None for other names."""
    reference = references.parse(name)
    distribution = reference.repository.removeprefix("library/")
    if reference.registry != references.DEFAULT_REGISTRY or distribution not in STABLE or reference.digest:
        return None
    word = reference.tag.removesuffix("-slim")
    stable = STABLE[distribution] if word in ("latest", "stable") else ""
    suite = stable or next((suite for suite, number in SUITES[distribution].items() if word in (suite, number)), "")
    if not suite:
        return None
    names = dict.fromkeys((*(f"{distribution}:{tag}" for tag in (suite, f"{suite}-slim", VERSIONS[suite])), name))
    return Wanted(distribution, suite, names=tuple(names))


async def make(store: ImageStore, wanted: Wanted, say: Callable[[str], None], *, again: bool = False) -> Made:
    """Raises BuildError with what failed and what to do."""
    names = names_of(wanted)
    record = store.find(names[0])
    if record is not None and not again:
        for name in names[1:]:
            if store.find(name) is None:
                await store.tag(names[0], name)
        return Made(record.id, names, record.size, before=True)
    for word in (wanted.suite, *wanted.include):
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", word):
            raise BuildError(f"{word!r} is no name of a release or a package")
    program = await _program(say)
    say(f"making {names[0]} with {PROGRAM}; this takes a minute or two")
    place = f"{store.root_directory}/base-{os.urandom(4).hex()}"
    os.makedirs(place, mode=0o755)
    try:
        await _run(await _command(program, wanted, f"{place}/root.tar"), f"{PROGRAM} could not make {names[0]}")
        async with store.adding():
            layer = await store.call(lambda: repacked(store, f"{place}/root.tar", EPOCH))
            config = {"Env": [f"PATH={processes.PATH}"], "Cmd": ["bash"]}
            state = State((layer,), config)
            text = f"{PROGRAM} --variant=apt {wanted.suite} {' '.join(wanted.include)}".rstrip()
            state = state.recorded(text, stack.BASE, EPOCH, empty=False)
            id, _ = await commit.image(store, state, [str(references.parse(name)) for name in names], EPOCH)
    finally:
        await store.call(lambda: shutil.rmtree(place, ignore_errors=True))
    record = store.find(id)
    return Made(id, names, record.size if record else 0, before=False)


async def _program(say: Callable[[str], None]) -> str:
    """The path of mmdebstrap, installed when it is missing."""
    found = shutil.which(PROGRAM, path=processes.PATH)
    if found:
        return found
    apt = shutil.which("apt-get", path=processes.PATH)
    if not apt:
        raise BuildError(
            f"{PROGRAM} is not installed, and this machine has no apt-get", "make the base image elsewhere"
        )
    say(f"{PROGRAM} is missing: installing it with apt-get")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "PATH": processes.PATH}
    install = [apt, "install", "-y", "--no-install-recommends", PROGRAM]
    try:
        await _run(install, "", environment)
    except BuildError:
        await _run([apt, "update"], "the package lists could not be read", environment)
        await _run(install, f"{PROGRAM} could not be installed: try apt-get install {PROGRAM}", environment)
    found = shutil.which(PROGRAM, path=processes.PATH)
    if not found:
        raise BuildError(f"{PROGRAM} was installed but is not found in {processes.PATH}")
    return found


async def _command(program: str, wanted: Wanted, target: str) -> list[str]:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    included = [f"--dpkgopt=path-include={pattern}" for pattern in _INCLUDED]
    options = [f'--aptopt={name} "{value}"' for name, value in await _apt_options()]
    command = [program, "--variant=apt", "--mode=root", "--format=tar", *excluded, *included, *options]
    if os.path.isdir(_MERGED_USR):
        command.append(f"--hook-dir={_MERGED_USR}")
    if wanted.include:
        command.append(f"--include={','.join(wanted.include)}")
    command += ["--customize-hook=rm -f $1/etc/resolv.conf $1/etc/hostname", wanted.suite, target]
    return [*command, wanted.mirror] if wanted.mirror else command


async def _apt_options() -> list[tuple[str, str]]:
    """Settings of this machine's apt without which its mirrors may not serve: proxies, and what it forgives."""
    program = shutil.which("apt-config", path=processes.PATH)
    if not program:
        return []
    output = (await processes.run([program, "dump"])).stdout.decode(errors="replace")
    settings = dict(re.findall(r'^(\S+) "([^"\n]*)";$', output, re.MULTILINE))
    return [(name, settings[name]) for name in (*_KEPT_OPTIONS, *_PROXIES) if settings.get(name)]


async def _run(command: Sequence[str], failure: str, env: dict[str, str] | None = None) -> None:
    """Run a program; its last lines explain a failure."""
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        del lines[:-_TAIL]

    surroundings = {"PATH": processes.PATH, "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8", **(env or {})}
    surroundings |= {name: os.environ[name] for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ}
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = processes.spawn(command, env=surroundings, stdio=(null, writer, writer))
    finally:
        os.close(null)
        os.close(writer)
    try:
        await read_lines(reader, keep)
        code = await child.wait()
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    if code != 0:
        raise BuildError("\n".join([*(f"  | {line}" for line in lines), f"{failure} (exit code {code})"]))
