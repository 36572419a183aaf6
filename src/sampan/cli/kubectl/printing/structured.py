"""JSON and YAML as kubectl prints them: keys sorted, four blanks in JSON, long YAML texts as blocks."""

from __future__ import annotations

import json
from typing import Any

import yaml

from sampan.api import yaml as kubernetes

Document = dict[str, Any]

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    """Quotes what another type's reader would take for something else; blocks for texts of several lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = None
    if "\n" in value and _fits_block(value):
        style = "|"
    elif _resolves(value):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _fits_block(value: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in value) and not any(
        line != line.rstrip(" ") for line in value.split("\n")
    )


def _resolves(value: str) -> bool:
    """Whether YAML would read the bare text as a number, a boolean, nothing or a time."""
    if not value:
        return True
    for tag, pattern in kubernetes.Loader.yaml_implicit_resolvers.get(value[0], ()):
        if pattern.match(value) and tag != "tag:yaml.org,2002:merge":
            return True
    if value in ("y", "Y", "n", "N"):
        return True
    for _, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(value[0], ()):
        if pattern.match(value) and value not in ("=", "<<"):
            return True
    return False


def _number(dumper: Any, value: float) -> Any:
    text = str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return dumper.represent_scalar("tag:yaml.org,2002:float" if "." in text else "tag:yaml.org,2002:int", text)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _number)


def as_yaml(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, default_flow_style=False, sort_keys=True, allow_unicode=True)
    return text


def as_json(document: Any) -> str:
    """With `<`, `>` and `&` escaped as Go does."""
    text = json.dumps(document, indent=4, sort_keys=True, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"


def without_managed_fields(document: Document) -> Document:
    items = document.get("items")
    if isinstance(items, list):
        return {**document, "items": [without_managed_fields(item) for item in items]}
    meta = document.get("metadata")
    if isinstance(meta, dict) and "managedFields" in meta:
        return {**document, "metadata": {key: value for key, value in meta.items() if key != "managedFields"}}
    return document
