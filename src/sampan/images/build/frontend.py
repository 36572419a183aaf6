"""From a folder and options to a request: the Dockerfile found or made, .dockerignore, arguments, secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.images.build import certificates, detect, ignore, parse
from sampan.images.build.errors import BuildError
from sampan.images.build.ignore import Ignore
from sampan.images.build.instructions import Dockerfile
from sampan.images.build.metadata import PROXIES
from sampan.images.build.request import Request, Secret
from sampan.images.build.state import EPOCH

NAMES = ("Dockerfile", "Containerfile")


@dataclass(frozen=True, slots=True)
class Recipe:
    """`detected` says what was found when there was no Dockerfile."""

    file: Dockerfile
    text: str
    ignore: Ignore
    detected: detect.Detected | None = None


def recipe(context: Path, file: str = "", text: str | None = None) -> Recipe:
    """What to build a folder by: the file named, else its Dockerfile, else one made for it. Raises BuildError."""
    if not context.is_dir():
        raise BuildError(f"{context} is no directory", "name the folder to build, such as .")
    if text is not None:
        return Recipe(parse.parse(text, "Dockerfile"), text, _ignore(context, None))
    path = Path(file) if file else next((context / name for name in NAMES if (context / name).is_file()), None)
    if path is None:
        found = detect.detect(context)
        rules = context / ".dockerignore"
        ignored = _ignore(context, None) if rules.is_file() else ignore.parse(detect.ignore_text())
        return Recipe(parse.parse(found.text, "Dockerfile"), found.text, ignored, found)
    content = _read(path)
    return Recipe(parse.parse(content, str(path)), content, _ignore(context, path))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BuildError(f"{path} is no text in UTF-8", "is this a Dockerfile?") from error
    except OSError as error:
        raise BuildError(f"{path}: {(error.strerror or str(error)).lower()}", "name it with --file") from error


def _ignore(context: Path, file: Path | None) -> Ignore:
    """`X.dockerignore` beside a Dockerfile X wins over the folder's own."""
    candidates = [Path(f"{file}.dockerignore")] if file is not None else []
    for path in (*candidates, context / ".dockerignore"):
        if path.is_file():
            return ignore.parse(_read(path), str(path))
    return Ignore()


def arguments(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """`K=V`, or `K` whose value is the environment's. Raises BuildError."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name:
            raise BuildError(f"--build-arg {each}: it has no name", "give NAME=VALUE")
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    return found


def secrets(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, Secret]:
    """`id=NAME,src=FILE` or `id=NAME,env=VARIABLE`. Raises BuildError."""
    found = {}
    for each in given:
        fields = dict(part.partition("=")[::2] for part in each.split(","))
        unknown = set(fields) - {"id", "src", "source", "env", "type"}
        id = fields.get("id", "")
        if not id or unknown:
            raise BuildError(f"--secret {each}: it is not understood", "give id=NAME,src=FILE or id=NAME,env=VARIABLE")
        path = fields.get("src") or fields.get("source") or ""
        if fields.get("type") == "env" and path:
            fields["env"], path = path, ""
        if path:
            found[id] = Secret(path=str(Path(path).expanduser().absolute()))
            continue
        variable = fields.get("env") or id
        if variable not in environ:
            raise BuildError(f"--secret {each}: the environment has no {variable}", f"set it, or give id={id},src=FILE")
        found[id] = Secret(value=environ[variable].encode("utf-8", "surrogateescape"))
    return found


def labels(given: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (each.partition("=") for each in given)}


def epoch(arguments: Mapping[str, str], environ: Mapping[str, str]) -> int:
    text = arguments.get("SOURCE_DATE_EPOCH") or environ.get("SOURCE_DATE_EPOCH") or str(EPOCH)
    if not text.isdigit() or int(text) > 1 << 40:
        raise BuildError(f"SOURCE_DATE_EPOCH={text} is no number of seconds since 1970")
    return int(text)


def request(
    recipe: Recipe,
    context: Path,
    *,
    names: Sequence[str] = (),
    target: str = "",
    given: Mapping[str, str] | None = None,
    secrets: Mapping[str, Secret] | None = None,
    labels: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    no_cache: bool = False,
    pull: bool = False,
    allow: Sequence[str] = (),
) -> Request:
    surroundings = environ or {}
    return Request(
        recipe.file,
        str(context.absolute()),
        recipe.ignore,
        tuple(names),
        target,
        given or {},
        secrets or {},
        {name: surroundings[name] for name in PROXIES if name in surroundings},
        labels or {},
        no_cache,
        pull,
        epoch(given or {}, surroundings),
        certificates.of_machine(surroundings),
        frozenset(allow),
    )
