"""No rule raises, whatever a decoded object holds."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.api import errors, kinds
from sampan.api.kinds.kind import Kind, no_errors
from sampan.api.types import base
from sampan.api.validation import meta

JUDGED = [k for k in kinds.ALL if k.validate is not no_errors]
TEXTS = st.sampled_from(
    ["", "a", "A b", "-", "x" * 300, "web", "../x", "/", "80", "50%", "a/b/c", "1Gi", "-1", "In", "Exists", "Always",
     "RollingUpdate", "1.2.3.4", "10.0.0.0/8", "::1%eth0", "é\u0000", "*.a.b", "* * * * *", "metadata.name", "None",
     "Indexed", "Resource", "Localhost", "ClusterIP", "ExternalName", "kubernetes.io/dockerconfigjson"]
)  # fmt: skip
NUMBERS = st.sampled_from([-(2**31), -1, 0, 1, 80, 100, 70000, 2**31 - 1])
QUANTITIES = st.sampled_from(["0", "-1", "1", "1500m", "1Gi", "9223372036854775807", "1n"])


@cache
def values(annotation: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return QUANTITIES if annotation == base.Quantity else values(arguments[0], depth)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values(a, depth) for a in arguments])
    if origin is tuple:
        return st.lists(values(arguments[0], depth + 1), max_size=2).map(tuple)
    if origin is not None and len(arguments) == 2:
        return st.dictionaries(TEXTS, values(arguments[1], depth + 1), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return structs(annotation, depth)
    simple: dict[Any, st.SearchStrategy[Any]] = {str: TEXTS, int: NUMBERS, bool: st.booleans()}
    return simple.get(annotation, st.none() if annotation is type(None) else st.sampled_from([None, {}, {"a": 1}]))


def structs(type_: type[msgspec.Struct], depth: int) -> st.SearchStrategy[Any]:
    fields = {f.name: f for f in msgspec.structs.fields(type_)}
    if depth > 5:
        return st.builds(type_)

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        chosen = draw(st.sets(st.sampled_from(sorted(fields)), max_size=7 if depth < 2 else 5)) if fields else set()
        return type_(**{name: draw(values(fields[name].type, depth + 1)) for name in sorted(chosen)})

    return build()


@pytest.mark.parametrize("kind", JUDGED, ids=lambda k: f"{k.group}-{k.version}-{k.name}")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_never_raises(kind: Kind, data: st.DataObject) -> None:
    new = data.draw(structs(kind.type, 0))
    old = data.draw(st.one_of(st.just(new), structs(kind.type, 0)))
    found = [
        *meta.validate(kind, new),
        *meta.validate_update(kind, new, old),
        *kind.validate(new),
        *kind.validate_update(new, old),
    ]
    errors.invalid_error(kind.name, kind.group, "x", found)
