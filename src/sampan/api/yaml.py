"""YAML as Kubernetes reads it: YAML 1.1's booleans, but dates, sexagesimals and the like stay strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from sampan.api.errors import show

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOL = re.compile(r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_INT = re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")


class YAMLError(ValueError):
    """The text is no YAML, or no YAML that JSON can express; the message is for a person."""


class Loader(_Base):  # type: ignore[misc]
    """A safe loader with the resolvers above; keys become strings; repeated ones are told as go-yaml tells them."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        return super().construct_object(node, deep=True)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        self.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(self.construct_object(key_node, deep=True))
            if key in mapping:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f"line {line}: key {show(key)} already set in map")
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping

    def construct_integer(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "")
        sign = -1 if text[0] == "-" else 1
        digits = text.lstrip("+-").lower()
        if digits.startswith(("0b", "0x", "0o")):
            return sign * int(digits, 0)
        return sign * int(digits, 8 if digits.startswith("0") else 10)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float) or key is None:
        return "null" if key is None else str(key)
    raise YAMLError(f"unsupported map key: {key!r}")


Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", _BOOL, "yYnNtTfFoO"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("null", _NULL, ["~", "n", "N", ""]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_integer)
Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_mapping)


def load(text: str | bytes) -> tuple[Any, list[str]]:
    """The first document and complaints about keys that it repeats. Raises YAMLError."""
    for document, duplicates in documents(text):
        return document, duplicates
    return None, []


def documents(text: str | bytes) -> Iterator[tuple[Any, list[str]]]:
    """Every document with complaints about keys that it repeats. Raises YAMLError."""
    loader = None
    try:
        loader = Loader(text)
        while loader.check_data():
            loader.duplicates = []
            document = loader.get_data()
            yield document, loader.duplicates
    except RecursionError as error:
        raise YAMLError("exceeded max depth") from error
    except yaml.YAMLError as error:
        raise YAMLError(_phrase(error)) from error
    except ValueError as error:
        raise YAMLError(str(error)) from error
    finally:
        if loader is not None:
            loader.dispose()


def _phrase(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}"
