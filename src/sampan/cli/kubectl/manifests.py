"""Documents from -f: files, directories and standard input, JSON or YAML, lists taken apart."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sampan.cli.context import CommandError, Context

Document = dict[str, Any]

EXTENSIONS = (".json", ".yaml", ".yml")


class Manifest(NamedTuple):
    document: Document
    source: str
    """The file's name as it was given, `STDIN` for standard input."""


def read(options: argparse.Namespace, context: Context) -> list[Manifest]:
    """All objects that -f names, in order. Raises CommandError, also when there is none."""
    if options.kustomize:
        raise CommandError("error: -k is not supported; build first: kustomize build DIR | sampan apply -f -")
    if not options.filename:
        raise CommandError("error: must specify one of -f and -k")
    found = [manifest for name in options.filename for manifest in _of(name, options.recursive, context)]
    if not found:
        raise CommandError("error: no objects passed to " + options.verb)
    return found


def _of(name: str, recursive: bool, context: Context) -> Iterator[Manifest]:
    if name == "-":
        yield from parse(context.stdin.read(), "STDIN")
        return
    if name.startswith(("http://", "https://")):
        raise CommandError(f"error: {name}: URLs are not read; fetch it first: curl -sSL {name} | sampan apply -f -")
    path = Path(name)
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.glob("*"))
        found = [file for file in files if file.suffix in EXTENSIONS and file.is_file()]
        if not found:
            raise CommandError(f"error: error reading [{name}]: recognized file extensions are [.json .yaml .yml]")
        for file in found:
            yield from parse(_text(file), str(file))
        return
    yield from parse(_text(path), name)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise CommandError(f'error: the path "{path}" does not exist') from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"error: error reading [{path}]: {error}") from error


def parse(text: str, source: str) -> Iterator[Manifest]:
    """The objects of a text; empty documents do not count."""
    for document in _documents(text, source):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise CommandError(f"error: error parsing {source}: an object is expected, found {type(document).__name__}")
        if not document.get("kind"):
            raise CommandError(
                f'error: error validating "{source}": error validating data: [kind not set]; '
                "if you choose to ignore these errors, turn validation off with --validate=false"
            )
        if not document.get("apiVersion"):
            raise CommandError(
                f'error: error validating "{source}": error validating data: [apiVersion not set]; '
                "if you choose to ignore these errors, turn validation off with --validate=false"
            )
        if str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
            for item in document["items"]:
                yield Manifest(item, source)
        else:
            yield Manifest(document, source)


def _documents(text: str, source: str) -> Iterator[Any]:
    if text.lstrip().startswith("{"):
        import msgspec

        try:
            yield msgspec.json.decode(text)
            return
        except msgspec.DecodeError:
            pass  # several JSON objects in a row, or YAML's flow style: the YAML reader knows both
    from sampan.api import yaml

    try:
        for document, _ in yaml.documents(text):
            yield document
    except yaml.YAMLError as error:
        raise CommandError(f"error: error parsing {source}: error converting YAML to JSON: {error}") from error


def meta(document: Document) -> Document:
    """The object's metadata, made if there is none."""
    found = document.setdefault("metadata", {})
    if not isinstance(found, dict):
        raise CommandError("error: metadata of an object is no object")
    return found
