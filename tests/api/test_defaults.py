from __future__ import annotations

import copy
import pathlib

import pytest

from sampan.api import codec
from sampan.api.defaults.pods import pull_policy
from sampan.api.kinds import ALL
from sampan.api.kinds.kind import Kind
from tests.api import golden

BY_NAME = {(kind.api_version, kind.name): kind for kind in ALL}


def kind_of(document: dict[str, object]) -> Kind:
    return BY_NAME[str(document["apiVersion"]), str(document["kind"])]


@pytest.mark.parametrize("path", golden.inputs("defaults"), ids=lambda path: path.name.split(".")[0])
def test_golden(path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    made = []
    for document in golden.documents(path):
        kind = kind_of(document)
        codec.normalize(kind, document)
        kind.default(document)
        again = copy.deepcopy(document)
        kind.default(again)
        assert again == document, "defaulting twice changes nothing more"
        codec.decode(kind, document)
        made.append(document)
    golden.check(path, "yaml", golden.dump(made), request.config.getoption("--update"))


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("registry.example:5000/nginx", "Always"),
        ("registry.example:5000/a/nginx:2", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("", "Always"),
        (None, "IfNotPresent"),
    ],
)
def test_pull_policy(image: str | None, policy: str) -> None:
    assert pull_policy(image) == policy
