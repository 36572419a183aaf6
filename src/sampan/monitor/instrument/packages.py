"""OpenTelemetry's packages for Python on this machine: installed once by pip, for every Python from 3.9 on.

The Python of a container is not ours, so pip is asked for wheels without compiled parts that suit Python 3.9: such
wheels suit all later ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
from importlib import resources
from pathlib import Path

RELEASE, API = "0.62b1", "1.41.1"
LOWEST = "3.9"
"""OpenTelemetry's versions, and the oldest Python that they have to suit."""
LIBRARIES = (
    *("asgi", "django", "fastapi", "flask", "starlette", "wsgi"),
    *("aiohttp-client", "httpx", "requests", "urllib", "urllib3"),
    *("asyncpg", "mysqlclient", "psycopg", "psycopg2", "pymysql", "redis", "sqlite3"),
    "logging",
)
REQUIREMENTS = (
    f"opentelemetry-distro=={RELEASE}",
    f"opentelemetry-exporter-otlp-proto-http=={API}",
    *(f"opentelemetry-instrumentation-{each}=={RELEASE}" for each in LIBRARIES),
)
LIMIT = 120.0
"""Seconds that pip may take."""
_OPTIONS = (
    *("--quiet", "--no-input", "--disable-pip-version-check"),
    *("--retries", "1", "--timeout", "10"),
    *("--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"),
    *("--python-version", LOWEST),
)
_INSTALL = ("--no-index", "--no-warn-script-location", "--root-user-action=ignore")
_TAIL = 3
_NEW = ".new-"


class Missing(Exception):
    """The packages are not here and cannot be had now; the message says why and what to do."""


class Packages:
    """A directory with `packages` and `start`; another set of packages lies in another one.

    Older sets stay: containers that run have them mounted.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._start = (resources.files("sampan.monitor.instrument") / "start" / "sitecustomize.py").read_bytes()
        seed = "\n".join((LOWEST, *REQUIREMENTS)).encode() + self._start
        self.directory = root / f"python-{hashlib.sha256(seed).hexdigest()[:12]}"

    def ready(self) -> bool:
        return self.directory.is_dir()

    async def prepare(self, wheels: str = "", *, limit: float = LIMIT) -> None:
        """Bring the packages here, from the directory `wheels` alone when it is given. Raises Missing."""
        await asyncio.to_thread(self._sweep)
        made = self._root / f"{_NEW}{os.getpid()}-{os.urandom(4).hex()}"
        source, target = wheels or str(made / "wheels"), str(made / "packages")
        try:
            (made / "start").mkdir(parents=True, mode=0o755)
            (made / "start" / "sitecustomize.py").write_bytes(self._start)
            if not wheels:
                # Only download asks each package whether it suits that Python; install asks for ours.
                await _pip(["download", *_OPTIONS, "--dest", source, *REQUIREMENTS], limit)
            await _pip(
                ["install", *_OPTIONS, *_INSTALL, "--find-links", source, "--target", target, *REQUIREMENTS], limit
            )
            await asyncio.to_thread(shutil.rmtree, made / "wheels", ignore_errors=True)
            _readable(made)
            if not self.ready():
                made.rename(self.directory)
        except OSError as error:
            raise Missing(f"OpenTelemetry's packages cannot be kept: {error}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)

    def _sweep(self) -> None:
        """What processes have left that were killed while they brought packages."""
        for path in self._root.glob(f"{_NEW}*"):
            pid = path.name.removeprefix(_NEW).partition("-")[0]
            if pid != str(os.getpid()) and not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(path)


async def _pip(words: list[str], limit: float) -> None:
    """Raises Missing with pip's last words."""
    command = [await _program(), "-I", "-m", "pip", *words]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(limit):
            said, _ = await process.communicate()
    except TimeoutError:
        raise Missing(_explained(f"pip took more than {limit:.0f} s")) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines
        raise Missing(_explained("; ".join(errors[-_TAIL:]) or f"pip ended with exit code {process.returncode}"))


async def _program() -> str:
    """A Python that has pip: ours, else the machine's."""
    for program in dict.fromkeys((sys.executable, shutil.which("python3") or sys.executable)):
        process = await asyncio.create_subprocess_exec(
            *(program, "-I", "-c", "import pip"), stderr=asyncio.subprocess.DEVNULL, stdin=asyncio.subprocess.DEVNULL
        )
        if not await process.wait():
            return program
    raise Missing(_explained("there is no pip; as root: apt-get install python3-pip"))


def _explained(why: str) -> str:
    return (
        f"OpenTelemetry's packages could not be fetched: {why}; when the network is there again, or with"
        " --wheels DIRECTORY without one: sampan instrument python"
    )


def _readable(top: Path) -> None:
    """For whoever programs in containers run as."""
    for directory, _, files in os.walk(top):
        os.chmod(directory, 0o755)  # noqa: S103 - nothing secret is in it
        for name in files:
            path = os.path.join(directory, name)
            os.chmod(path, os.stat(path).st_mode & 0o777 | 0o444)
