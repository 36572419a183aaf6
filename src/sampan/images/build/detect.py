"""A Dockerfile for a folder that has none: Python, Node, static files, or what a Procfile says.

Everything is installed from the packages of one distribution, so that a base image made here is enough.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampan.images.build.errors import BuildError

BASE = "debian:bookworm-slim"
IGNORED = (
    ".git", ".gitignore", ".dockerignore", "Dockerfile", "**/__pycache__", "**/*.pyc", ".venv", "venv", ".tox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", ".env", ".env.*", "*.log", ".DS_Store",
)  # fmt: skip
PORT = 8000
STATIC_PORT = 8080

_APT = "apt-get update && apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*"


@dataclass(frozen=True, slots=True)
class Detected:
    """`why` names the files that told; `text` is the Dockerfile."""

    kind: str
    why: str
    text: str


def detect(directory: Path) -> Detected:
    """Raises BuildError with what was looked for."""
    for look in (_python, _node, _static, _procfile_alone):
        found = look(directory)
        if found is not None:
            return found
    raise BuildError(
        f"{directory} has no Dockerfile, and nothing tells what is in it",
        "add a Dockerfile, requirements.txt or pyproject.toml, package.json, index.html, or a Procfile",
    )


def ignore_text() -> str:
    return "\n".join(IGNORED)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""


def _written(kind: str, why: str, lines: list[str]) -> Detected:
    head = f"# {kind}, because of {why}. Made by `sampan image build`; put it into a file Dockerfile to change it."
    return Detected(kind, why, "\n".join([head, *lines, ""]))


def procfile(directory: Path) -> str:
    """The command of `web`, else of the first line; "" without a Procfile."""
    commands = dict(re.findall(r"^([A-Za-z0-9_-]+):[ \t]*(\S.*?)[ \t]*$", _text(directory / "Procfile"), re.MULTILINE))
    return commands.get("web") or next(iter(commands.values()), "")


def _shell(line: str) -> str:
    """A shell that makes way for the program, so that signals reach it."""
    return f"CMD {json.dumps(['/bin/sh', '-c', line if line.startswith('exec ') else f'exec {line}'])}"


# Python


def _python(directory: Path) -> Detected | None:
    requirements, project = directory / "requirements.txt", directory / "pyproject.toml"
    sources = [path.name for path in (requirements, project) if path.is_file()]
    if not sources:
        return None
    toml = _toml(project) if project.is_file() else {}
    wanted = _text(requirements) + "\n".join(map(str, toml.get("project", {}).get("dependencies", ())))
    command, port = _python_command(directory, toml, wanted.lower())
    installs = project.is_file() and "build-system" in toml
    lines = [
        f"FROM {BASE}",
        f"RUN {_APT.format('python3 python3-venv')} && python3 -m venv /venv",
        "ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1",
        f"ENV PORT={port}",
        "WORKDIR /app",
    ]
    if requirements.is_file():
        lines += ["COPY requirements.txt ./", "RUN pip install --no-cache-dir -r requirements.txt"]
    elif not installs:
        dependencies = [str(each) for each in toml.get("project", {}).get("dependencies", ())]
        if dependencies:
            lines.append("RUN " + json.dumps(["pip", "install", "--no-cache-dir", *dependencies]))
    lines.append("COPY . .")
    if installs:
        lines.append("RUN pip install --no-cache-dir .")
    lines += ["USER 1000:1000", f"EXPOSE {port}", command]
    return _written("Python", " and ".join(sources), lines)


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{path}: {error}", "mend it, or add a Dockerfile") from error


def _python_command(directory: Path, toml: dict[str, Any], wanted: str) -> tuple[str, int]:
    if line := procfile(directory):
        return _shell(line), PORT
    if (directory / "manage.py").is_file():
        return _shell("python manage.py runserver 0.0.0.0:$PORT"), PORT
    module = next((name for name in ("main", "app", "wsgi", "asgi", "server") if _is_file(directory, name)), "")
    if module:
        source = _text(directory / f"{module}.py")
        application = re.search(r"^(app|application|api)\s*(?::[^=]+)?=", source, re.MULTILINE)
        if application and "uvicorn" in wanted:
            return _shell(f"uvicorn {module}:{application[1]} --host 0.0.0.0 --port $PORT"), PORT
        if application and "gunicorn" in wanted:
            return _shell(f"gunicorn --bind 0.0.0.0:$PORT {module}:{application[1]}"), PORT
        if application and "flask" in wanted and "__main__" not in source:
            return _shell(f"flask --app {module} run --host 0.0.0.0 --port $PORT"), PORT
        return f'CMD ["python", "{module}.py"]', PORT
    scripts = toml.get("project", {}).get("scripts", {})
    if scripts:
        return f"CMD {json.dumps([next(iter(scripts))])}", PORT
    raise BuildError(
        f"{directory} is a Python project, but nothing tells how it starts",
        "add a Procfile with a line such as `web: python server.py`, or call the file main.py or app.py",
    )


def _is_file(directory: Path, module: str) -> bool:
    return (directory / f"{module}.py").is_file()


# Node


def _node(directory: Path) -> Detected | None:
    path = directory / "package.json"
    if not path.is_file():
        return None
    try:
        package = json.loads(_text(path))
    except ValueError as error:
        raise BuildError(f"{path}: {error}", "mend it, or add a Dockerfile") from error
    if not isinstance(package, dict):
        raise BuildError(f"{path}: it is no object", "mend it, or add a Dockerfile")
    scripts = package.get("scripts") or {}
    locked = (directory / "package-lock.json").is_file()
    lines = [
        f"FROM {BASE}",
        f"RUN {_APT.format('nodejs npm ca-certificates')}",
        f"ENV NODE_ENV=production PORT={PORT}",
        "WORKDIR /app",
        f"COPY package.json {'package-lock.json ' if locked else ''}./",
        f"RUN npm {'ci' if locked else 'install'}{' --include=dev' if 'build' in scripts else ' --omit=dev'}",
        "COPY . .",
    ]
    if "build" in scripts:
        lines.append("RUN npm run build && npm prune --omit=dev")
    lines += ["USER 1000:1000", f"EXPOSE {PORT}", _node_command(directory, package, scripts)]
    return _written("Node", "package.json", lines)


def _node_command(directory: Path, package: dict[str, Any], scripts: dict[str, Any]) -> str:
    if line := procfile(directory):
        return _shell(line)
    if "start" in scripts:
        return 'CMD ["npm", "start"]'
    names = (package.get("main"), "server.js", "index.js", "app.js")
    main = next((name for name in names if isinstance(name, str) and (directory / name).is_file()), "")
    if main:
        return f"CMD {json.dumps(['node', main])}"
    raise BuildError(
        f"{directory} is a Node project, but nothing tells how it starts", 'add "start" to "scripts" in package.json'
    )


# Files, and what a Procfile starts


def _static(directory: Path) -> Detected | None:
    places = [
        place for place in (".", "public", "dist", "site", "_site") if (directory / place / "index.html").is_file()
    ]
    if not places or (directory / "Procfile").is_file():
        return None
    why = f"{places[0]}/index.html".removeprefix("./")
    lines = [
        f"FROM {BASE} AS tools",
        f"RUN {_APT.format('busybox-static')}",
        "FROM scratch",
        "COPY --from=tools /bin/busybox /bin/busybox",
        f"COPY {places[0]} /srv/",
        "USER 1000:1000",
        f"EXPOSE {STATIC_PORT}",
        f'CMD ["/bin/busybox", "httpd", "-f", "-v", "-p", "{STATIC_PORT}", "-h", "/srv"]',
    ]
    return _written("static files", why, lines)


def _procfile_alone(directory: Path) -> Detected | None:
    line = procfile(directory)
    if not line:
        return None
    lines = [f"FROM {BASE}", f"ENV PORT={PORT}", "WORKDIR /app", "COPY . .", "USER 1000:1000", f"EXPOSE {PORT}"]
    lines.append(_shell(line))
    return _written("a program", "Procfile", lines)
