"""JSON Patch (RFC 6902) with JSON Pointer (RFC 6901)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from sampan.api.errors import bad_request
from sampan.api.patch import limits

_INDEX = re.compile(r"-?(0|[1-9][0-9]{0,8})\Z", re.ASCII)
_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


class _Unfit(Exception):
    """The operation does not fit the document."""


def apply(document: Any, operations: Any) -> Any:
    """The document after all operations, or none.

    Raises StatusError: 400 for a malformed patch, 413 for one too large, 422 for one that does not fit.
    """
    if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > limits.OPERATIONS:
        raise limits.too_large(
            f"The allowed maximum operations in a JSON patch is {limits.OPERATIONS}, got {len(operations)}"
        )
    limits.check_depth(operations)
    root = {"": _decode(_encoder.encode(document))}
    copied = 0
    try:
        for operation in operations:
            copied += _apply_one(root, operation)
            if copied > limits.COPIED:
                raise limits.too_large(f"the copy operations add {copied} bytes, exceeding the limit {limits.COPIED}")
    except _Unfit:
        raise limits.rejected() from None
    if "" not in root:
        raise limits.rejected()
    limits.check_depth(root)
    return root[""]


def _apply_one(root: dict[str, Any], operation: dict[str, Any]) -> int:
    """Changes `root` and returns how many bytes were copied within the document."""
    name = operation.get("op")
    step = _STEPS.get(name) if isinstance(name, str) else None
    if step is None:
        raise _Unfit(f"unexpected operation {name!r}")
    return step(root, operation)


def _add(root: dict[str, Any], operation: dict[str, Any]) -> int:
    _insert(root, _path(operation, "path"), _fresh(_value(operation)))
    return 0


def _remove(root: dict[str, Any], operation: dict[str, Any]) -> int:
    _take(root, _path(operation, "path"))
    return 0


def _replace(root: dict[str, Any], operation: dict[str, Any]) -> int:
    parent, key = _parent(root, _path(operation, "path"))
    _get(parent, key)
    parent[key if isinstance(parent, dict) else _index(key, len(parent))] = _fresh(_value(operation))
    return 0


def _move(root: dict[str, Any], operation: dict[str, Any]) -> int:
    source, path = _path(operation, "from"), _path(operation, "path")
    if path[: len(source)] == source and len(path) > len(source):
        raise _Unfit("a value cannot move into itself")
    _insert(root, path, _take(root, source))
    return 0


def _copy(root: dict[str, Any], operation: dict[str, Any]) -> int:
    value = _find(root, _path(operation, "from"))
    limits.check_depth([value])
    encoded = _encoder.encode(value)
    _insert(root, _path(operation, "path"), _decode(encoded))
    return len(encoded)


def _test(root: dict[str, Any], operation: dict[str, Any]) -> int:
    try:
        found = _find(root, _path(operation, "path"))
    except _Unfit:
        found = None  # a test for null also holds where nothing is, as upstream's library has it
    limits.check_depth([found])
    if not _same(found, operation.get("value")):
        raise _Unfit("test failed")
    return 0


_STEPS: dict[str, Callable[[dict[str, Any], dict[str, Any]], int]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _Unfit("missing value")
    return operation["value"]


def _fresh(value: Any) -> Any:
    """A copy of its own, for what later operations may change."""
    return _decode(_encoder.encode(value)) if isinstance(value, (dict, list)) else value


def _path(operation: dict[str, Any], member: str) -> tuple[str, ...]:
    """The keys from the root's holder down; the document itself is key `""`."""
    text = operation.get(member)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _Unfit(f"bad pointer {text!r}")
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in text.split("/")) if text else ("",)


def _parent(root: dict[str, Any], path: tuple[str, ...]) -> tuple[Any, str]:
    container: Any = root
    for key in path[:-1]:
        container = _get(container, key)
    if not isinstance(container, (dict, list)):
        raise _Unfit("no container there")
    return container, path[-1]


def _find(root: dict[str, Any], path: tuple[str, ...]) -> Any:
    container, key = _parent(root, path)
    return _get(container, key)


def _get(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        if key not in container:
            raise _Unfit(f"no member {key!r}")
        return container[key]
    if isinstance(container, list):
        return container[_index(key, len(container))]
    raise _Unfit("no container there")


def _index(key: str, length: int) -> int:
    if not _INDEX.match(key):
        raise _Unfit(f"bad index {key!r}")
    at = int(key)
    # Negative indexes count from the end: an extension of upstream's library that clients use.
    at = at + length if at < 0 else at
    if not 0 <= at < length:
        raise _Unfit(f"index {key} out of bounds")
    return at


def _insert(root: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    container, key = _parent(root, path)
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        container.insert(_index(key, len(container) + 1), value)


def _take(root: dict[str, Any], path: tuple[str, ...]) -> Any:
    container, key = _parent(root, path)
    value = _get(container, key)
    if isinstance(container, dict):
        del container[key]
    else:
        del container[_index(key, len(container))]
    return value


def _same(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
