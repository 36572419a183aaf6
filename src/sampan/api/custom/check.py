"""Whether values are what a structural schema asks for, told in upstream's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sampan.api.custom import formats
from sampan.api.custom.schema import Node
from sampan.api.errors import FieldError, duplicate, invalid, not_supported, required, show, too_long, too_many

Errors = list[FieldError]
_NUMBERS = ("integer", "number")


def check(node: Node, value: Any, path: str = "") -> Errors:
    """All complaints about a value that stands at `path`."""
    errors: Errors = []
    _check(node, value, path, errors)
    return errors


def _check(node: Node, value: Any, path: str, errors: Errors) -> None:
    if value is None and node.nullable:
        return
    if not _type_fits(node, value):
        wanted = "integer,string" if node.int_or_string else node.type
        errors.append(_wrong_type(path, wanted, _type_of(value), _type_of(value)))
        return
    raw = node.checks
    enum = raw.get("enum")
    if enum and not any(_equal(value, choice) for choice in enum):
        errors.append(not_supported(path, value, [_plain(choice) for choice in enum]))
    if isinstance(value, str):
        _check_string(node, value, path, errors)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(node, value, path, errors)
    elif isinstance(value, list):
        _check_list(node, value, path, errors)
    elif isinstance(value, dict):
        _check_object(node, value, path, errors)
    if node.all_of or node.any_of or node.one_of or node.none_of is not None:
        _check_logic(node, value, path, errors)


def _plain(choice: Any) -> str:
    return choice if isinstance(choice, str) else msgspec.json.encode(choice).decode()


def _equal(one: Any, other: Any) -> bool:
    """JSON's equality: true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _type_fits(node: Node, value: Any) -> bool:
    found = _type_of(value)
    if node.int_or_string:
        return found in ("integer", "string")
    if not node.type:
        return value is not None or node.preserve or not node.checks.get("x-kubernetes-embedded-resource")
    return found == node.type or (found == "integer" and node.type == "number")


def _wrong_type(path: str, wanted: str, value: Any, shown: str) -> FieldError:
    detail = f"{path} in body must be of type {wanted}: {show(shown)}"
    return FieldError("FieldValueTypeInvalid", path or "<nil>", value, detail)


def _wrong(path: str, value: Any, detail: str) -> FieldError:
    return invalid(path or "<nil>", value, f"{path} in body {detail}")


def _check_string(node: Node, value: str, path: str, errors: Errors) -> None:
    raw = node.checks
    most, least = raw.get("maxLength"), raw.get("minLength")
    if most is not None and len(value) > most:
        errors.append(too_long(path, most))
    if least is not None and len(value) < least:
        errors.append(_wrong(path, value, f"should be at least {least} chars long"))
    if node.pattern is not None and node.pattern.search(value) is None:
        errors.append(_wrong(path, value, f"should match '{raw['pattern']}'"))
    fits = formats.STRINGS.get(str(raw.get("format") or ""))
    if fits is not None and not fits(value):
        errors.append(_wrong_type(path, str(raw["format"]), value, value))


def _check_number(node: Node, value: float, path: str, errors: Errors) -> None:
    raw = node.checks
    most, least, step = raw.get("maximum"), raw.get("minimum"), raw.get("multipleOf")
    if most is not None and (value >= most if raw.get("exclusiveMaximum") else value > most):
        words = "less than" if raw.get("exclusiveMaximum") else "less than or equal to"
        errors.append(_wrong(path, value, f"should be {words} {_number(most)}"))
    if least is not None and (value <= least if raw.get("exclusiveMinimum") else value < least):
        words = "greater than" if raw.get("exclusiveMinimum") else "greater than or equal to"
        errors.append(_wrong(path, value, f"should be {words} {_number(least)}"))
    if step and abs(value / step - round(value / step)) > 1e-9:
        errors.append(_wrong(path, value, f"should be a multiple of {_number(step)}"))
    bounds = formats.INTEGERS.get(str(raw.get("format") or "")) if _type_of(value) == "integer" else None
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        errors.append(_wrong_type(path, f"{node.type}, {raw['format']}", value, str(value)))


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else str(value)


def _check_list(node: Node, value: Sequence[Any], path: str, errors: Errors) -> None:
    raw = node.checks
    most, least = raw.get("maxItems"), raw.get("minItems")
    if most is not None and len(value) > most:
        errors.append(too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errors.append(_wrong(path, len(value), f"should have at least {least} items"))
    if node.items is not None:
        for index, item in enumerate(value):
            _check(node.items, item, f"{path}[{index}]", errors)
    if node.list_type in ("set", "map"):
        _check_unique(node, value, path, errors)


def _check_unique(node: Node, value: Sequence[Any], path: str, errors: Errors) -> None:
    seen: set[bytes] = set()
    for index, item in enumerate(value):
        key: Any = item
        if node.list_type == "map":
            if not isinstance(item, dict):
                continue
            key = {name: item[name] for name in node.keys if name in item}
        text = msgspec.json.encode(key, order="sorted")
        if text in seen:
            errors.append(duplicate(f"{path}[{index}]", key))
        seen.add(text)


def _check_object(node: Node, value: dict[str, Any], path: str, errors: Errors) -> None:
    raw = node.checks
    prefix = f"{path}." if path else ""
    most, least = raw.get("maxProperties"), raw.get("minProperties")
    if most is not None and len(value) > most:
        errors.append(too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errors.append(_wrong(path, len(value), f"should have at least {least} properties"))
    errors += [required(f"{prefix}{name}") for name in node.required if name not in value]
    if node.embedded:
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                errors.append(required(f"{prefix}{name}", "must not be empty"))
    for name, member in value.items():
        below = node.properties.get(name) or node.additional
        if below is not None:
            _check(below, member, f"{prefix}{name}", errors)


def _check_logic(node: Node, value: Any, path: str, errors: Errors) -> None:
    def fits(below: Node) -> bool:
        return not check(below, value, path)

    def complain(text: str) -> None:
        errors.append(invalid(path or "<nil>", "", f'"{path}" {text}'))

    for below in node.all_of:
        found = check(below, value, path)
        if found:
            complain("must validate all the schemas (allOf)")
            errors.extend(found)
    if node.any_of and not any(fits(below) for below in node.any_of):
        complain("must validate at least one schema (anyOf)")
        errors.extend(check(node.any_of[0], value, path))
    if node.one_of:
        number = sum(fits(below) for below in node.one_of)
        if number != 1:
            words = f"Found {number} valid alternatives" if number else "Found none valid"
            complain(f"must validate one and only one schema (oneOf). {words}")
    if node.none_of is not None and fits(node.none_of):
        complain("must not validate the schema (not)")
