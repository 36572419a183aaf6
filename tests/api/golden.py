"""Golden pairs: `X.input.yaml` and what the code makes of it, `X.output.*`; `--update` rewrites the latter."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

from sampan.api import yaml as kubernetes_yaml

HERE = pathlib.Path(__file__).parent / "golden"


def inputs(folder: str) -> list[pathlib.Path]:
    return sorted((HERE / folder).glob("*.input.yaml"))


def documents(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    for document, _ in kubernetes_yaml.documents(path.read_bytes()):
        yield document


def dump(documents: list[dict[str, Any]]) -> str:
    return str(yaml.safe_dump_all(documents, sort_keys=True, default_flow_style=False))


def check(path: pathlib.Path, suffix: str, made: str, update: bool) -> None:
    golden = path.with_name(path.name.replace(".input.yaml", f".output.{suffix}"))
    if update:
        golden.write_text(made)
    assert made == golden.read_text(), f"run pytest --update when {golden.name} should change"
