"""What an application seems to need, with the reason for each guess. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sampan.api.extra.validation import NAME_LENGTH

Document = dict[str, Any]

DATABASES: Mapping[str, int] = {
    "mariadb": 3306,
    "mysql": 3306,
    "postgres": 5432,
    "redis": 6379,
    "mongo": 27017,
    "rabbitmq": 5672,
}
"""Images that keep data and listen at a known port."""
FIELDS = ("type", "volumes", "port", "host", "instrument")
"""Of an App's spec, what is guessed."""
DOMAIN = "localhost"
PYTHON_VARIABLES = ("PYTHON_VERSION", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
"""What images of Python programs set."""
_PROGRAM = re.compile(
    r"(?:^|[\s/])(python[0-9.]*|gunicorn|uvicorn|hypercorn|daphne|waitress-serve|flask|django-admin|celery)(?=\s|$)"
)


class Guess(NamedTuple):
    """`said` is one sentence a guess: what, and why."""

    spec: Document
    said: tuple[str, ...]


def app_name(text: str) -> str:
    """A name for an app from that of a folder or an image: `Guest_Book` as `guest-book`. "" when nothing is left."""
    bare = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    bare = re.sub(r"^[0-9-]+", "", bare)
    return bare[:NAME_LENGTH].rstrip("-")


def of_image(reference: str) -> str:
    """The name in an image's reference: `registry:5000/team/web:1` as `web`."""
    return app_name(reference.partition("@")[0].rpartition("/")[2].partition(":")[0])


def of_repository(url: str) -> str:
    """The name in a repository's address: `https://example.com/ann/web.git` as `web`."""
    return app_name(url.rstrip("/").removesuffix(".git").replace(":", "/").rpartition("/")[2])


def guess(
    given: Document,
    *,
    name: str,
    ports: Sequence[str] = (),
    volumes: Sequence[str] = (),
    command: Sequence[str] = (),
    env: Sequence[str] = (),
    known_image: bool = False,
    domain: str = DOMAIN,
) -> Guess:
    """What `given`, an App's spec, leaves open. `ports`, `volumes`, `command` and `env` are what the image declares.

    Only what nobody has decided is guessed: a field that is there, even with null, stays.
    """
    spec: Document = {}
    said: list[str] = []
    words = re.split(r"[/:@.-]", str((given.get("source") or {}).get("image") or ""))
    database = next((word for word in words if word in DATABASES), "")
    ends = "schedule" in given or given.get("type") in ("batch", "cron")
    if "type" not in given:
        if "schedule" in given:
            spec["type"] = "cron"
            said.append("type cron, because there is a schedule")
        elif volumes or (given.get("volumes") and database):
            spec["type"] = "stateful"
            said.append("type stateful, because its image declares a volume")
        elif database:
            spec["type"] = "stateful"
            said.append(f"type stateful, because {database} keeps data")
    if "volumes" not in given and volumes:
        spec["volumes"] = [{"path": path} for path in volumes]
        said.append(f"a volume of 1Gi at {', '.join(volumes)}, because its image declares it")
    if "port" not in given and not ends:
        port = _port(ports)
        if port is not None:
            spec["port"] = port
            said.append(f"port {port}, because its image exposes it")
        elif database:
            spec["port"] = DATABASES[database]
            said.append(f"port {spec['port']}, the usual one of {database}")
        elif not known_image:
            said.append("no port, because nothing says where it listens (--port)")
    port = given.get("port", spec.get("port"))
    kind = given.get("type", spec.get("type", "stateless"))
    if "host" not in given and port is not None and kind == "stateless" and not database:
        spec["host"] = f"{name}.{domain}"
        said.append(f"host {spec['host']} (--host)")
    why = _python([*(given.get("command") or ()), *(given.get("args") or ())] or command, env)
    if "instrument" not in given and why:
        spec["instrument"] = "python"
        said.append(f"traces by OpenTelemetry's packages for Python, because {why} (--instrument none)")
    return Guess(spec, tuple(said))


def _python(command: Sequence[str], env: Sequence[str]) -> str:
    """Why a program seems to be Python's, "" when nothing says so."""
    found = _PROGRAM.search(" ".join(command))
    if found:
        return f"it runs {found[1]}"
    told = next((name for name in (each.partition("=")[0] for each in env) if name in PYTHON_VARIABLES), "")
    return f"its image sets {told}" if told else ""


def _port(ports: Sequence[str]) -> int | None:
    """The lowest TCP port that an image exposes; 80 and the like come first on purpose."""
    numbers = [int(text.partition("/")[0]) for text in ports if text.partition("/")[2] in ("", "tcp")]
    return min(numbers, default=None)
