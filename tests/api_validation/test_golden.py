"""Golden pairs: an object (and what it was before) in, the Status causes out. `--update` rewrites them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from sampan.api import codec, errors, kinds
from sampan.api.kinds.kind import Kind
from sampan.api.validation import meta

CASES = sorted((Path(__file__).parent / "golden").glob("*.input.yaml"))


def kind_of(document: dict[str, Any]) -> Kind:
    return next(k for k in kinds.ALL if k.api_version == document["apiVersion"] and k.name == document["kind"])


def decoded(kind: Kind, document: dict[str, Any]) -> Any:
    kind.default(document)
    codec.normalize(kind, document)
    return codec.decode(kind, document)


def complaints(documents: list[dict[str, Any]]) -> list[errors.FieldError]:
    kind = kind_of(documents[0])
    if kind.namespaced:
        for document in documents:
            document["metadata"].setdefault("namespace", "default")
    new = decoded(kind, documents[0])
    if len(documents) == 1:
        return [*meta.validate(kind, new), *kind.validate(new)]
    old = decoded(kind, documents[1])
    return [*meta.validate_update(kind, new, old), *kind.validate(new), *kind.validate_update(new, old)]


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name.removesuffix(".input.yaml"))
def test_causes(case: Path, pytestconfig: pytest.Config) -> None:
    documents = list(yaml.safe_load_all(case.read_text()))
    kind = kind_of(documents[0])
    found = complaints(documents)
    status = errors.invalid_error(kind.name, kind.group, documents[0]["metadata"].get("name", ""), found).status
    causes = [] if not found or status.details is None else msgspec.to_builtins(status.details.causes)
    expected = case.with_name(case.name.replace(".input.", ".output."))
    text = yaml.safe_dump(causes, sort_keys=False, width=110, allow_unicode=True)
    if pytestconfig.getoption("--update"):
        expected.write_text(text)
    assert text == expected.read_text()
