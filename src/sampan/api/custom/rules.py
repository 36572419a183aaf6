"""Rules of CustomResourceDefinitions: names, versions, and schemas that are structural. The texts are upstream's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sampan.api import names
from sampan.api.custom import jsonpath
from sampan.api.custom.check import check
from sampan.api.custom.schema import Node, go_pattern
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from sampan.api.types.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionVersion,
    JSONSchemaProps,
)

Errors = list[FieldError]

APPROVAL = "api-approved.kubernetes.io"
COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
TYPES = ("array", "boolean", "integer", "number", "object", "string")
SELECTABLE = 8
IMMUTABLE = "field is immutable"


def validate(definition: CustomResourceDefinition) -> Errors:
    """Complaints about a definition as it stands."""
    spec, errors = definition.spec, Errors()
    wanted = f"{spec.names.plural}.{spec.group}"
    if definition.metadata.name and definition.metadata.name != wanted:
        errors.append(invalid("metadata.name", definition.metadata.name, 'must be spec.names.plural+"."+spec.group'))
    if not spec.group:
        errors.append(required("spec.group"))
    elif problems := names.dns_subdomain(spec.group):
        errors += [invalid("spec.group", spec.group, text) for text in problems]
    elif "." not in spec.group:
        errors.append(invalid("spec.group", spec.group, "should be a domain with at least one dot"))
    if spec.group.endswith((".k8s.io", ".kubernetes.io")) and not definition.metadata.annotations.get(APPROVAL):
        text = (
            f'protected groups must have approval annotation "{APPROVAL}", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        errors.append(required(f"metadata.annotations[{APPROVAL}]", text))
    if not spec.scope:
        errors.append(required("spec.scope"))
    elif spec.scope not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", spec.scope, ("Cluster", "Namespaced")))
    if spec.preserveUnknownFields:
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid("spec.preserveUnknownFields", True, text))
    _names(errors, spec.names)
    _versions(errors, definition)
    _conversion(errors, definition)
    return errors


def validate_update(new: CustomResourceDefinition, old: CustomResourceDefinition) -> Errors:
    """Complaints about how a definition changes."""
    errors = Errors()
    established = any(each.type == "Established" and each.status == "True" for each in old.status.conditions)
    if new.spec.group != old.spec.group:
        errors.append(invalid("spec.group", new.spec.group, IMMUTABLE))
    if new.spec.names.plural != old.spec.names.plural:
        errors.append(invalid("spec.names.plural", new.spec.names.plural, IMMUTABLE))
    if established and new.spec.scope != old.spec.scope:
        errors.append(invalid("spec.scope", new.spec.scope, IMMUTABLE))
    if established and new.spec.names.kind != old.spec.names.kind:
        errors.append(invalid("spec.names.kind", new.spec.names.kind, IMMUTABLE))
    present = {version.name for version in new.spec.versions}
    for index, name in enumerate(old.status.storedVersions):
        if name not in present:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            errors.append(invalid(f"status.storedVersions[{index}]", name, text))
    return errors


def _names(errors: Errors, given: CustomResourceDefinitionNames) -> None:
    path = "spec.names"
    for name in ("plural", "singular", "kind", "listKind"):
        value = getattr(given, name) or ""
        if not value:
            errors.append(required(f"{path}.{name}"))
            continue
        mixed = name in ("kind", "listKind")
        for text in names.dns1035_label(value.lower() if mixed else value):
            words = f"may have mixed case, but should otherwise match: {text}" if mixed else text
            errors.append(invalid(f"{path}.{name}", value, words))
    for field, values in (("shortNames", given.shortNames), ("categories", given.categories)):
        for index, value in enumerate(values):
            errors += [invalid(f"{path}.{field}[{index}]", value, text) for text in names.dns1035_label(value)]
    if given.kind and given.kind == given.listKind:
        errors.append(invalid(f"{path}.listKind", given.listKind, "kind and listKind may not be the same"))


def _versions(errors: Errors, definition: CustomResourceDefinition) -> None:
    versions = definition.spec.versions
    listed = [msgspec.to_builtins(version) for version in versions]
    if not versions:
        errors.append(required("spec.versions", "must specify at least one version"))
        return
    if len({version.name for version in versions}) < len(versions):
        errors.append(invalid("spec.versions", listed, "must contain unique version names"))
    if sum(version.storage for version in versions) != 1:
        errors.append(invalid("spec.versions", listed, "must have exactly one version marked as storage version"))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        errors += [invalid(f"{path}.name", version.name, text) for text in names.dns1035_label(version.name)]
        if version.deprecationWarning is not None and not version.deprecated:
            text = "can only be set for deprecated versions"
            errors.append(invalid(f"{path}.deprecationWarning", version.deprecationWarning, text))
        _parts(errors, version, path)
        schema = version.schema.openAPIV3Schema if version.schema else None
        at = f"{path}.schema.openAPIV3Schema"
        if schema is None:
            errors.append(required(at, "schemas are required"))
        else:
            found = list(structural(msgspec.json.decode(msgspec.json.encode(schema)), at))
            errors += found


def _parts(errors: Errors, version: CustomResourceDefinitionVersion, path: str) -> None:
    for index, column in enumerate(version.additionalPrinterColumns):
        at = f"{path}.additionalPrinterColumns[{index}]"
        if not column.name:
            errors.append(required(f"{at}.name"))
        if not column.type:
            errors.append(required(f"{at}.type", f"must be one of {','.join(COLUMN_TYPES)}"))
        elif column.type not in COLUMN_TYPES:
            errors.append(invalid(f"{at}.type", column.type, f"must be one of {','.join(COLUMN_TYPES)}"))
        if not column.jsonPath:
            errors.append(required(f"{at}.jsonPath"))
        else:
            try:
                jsonpath.Path(column.jsonPath)
            except ValueError as error:
                errors.append(invalid(f"{at}.jsonPath", column.jsonPath, f"is an invalid jsonpath: {error}"))
    if len(version.selectableFields) > SELECTABLE:
        count = len(version.selectableFields)
        text = f"must have at most {SELECTABLE} items"
        errors.append(FieldError("FieldValueTooMany", f"{path}.selectableFields", count, text))
    for index, selectable in enumerate(version.selectableFields):
        try:
            jsonpath.names(selectable.jsonPath)
        except ValueError as error:
            at = f"{path}.selectableFields[{index}].jsonPath"
            errors.append(invalid(at, selectable.jsonPath, f"is an invalid path: {error}"))
    scale = version.subresources.scale if version.subresources else None
    if scale is not None:
        at = f"{path}.subresources.scale"
        for name, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
            _scale_path(errors, getattr(scale, name), f"{at}.{name}", (prefix,))
        if scale.labelSelectorPath:
            _scale_path(errors, scale.labelSelectorPath, f"{at}.labelSelectorPath", (".spec.", ".status."))


def _scale_path(errors: Errors, text: str, path: str, prefixes: tuple[str, ...]) -> None:
    if not text:
        errors.append(required(path))
        return
    try:
        jsonpath.names(text)
    except ValueError as error:
        errors.append(invalid(path, text, str(error)))
        return
    if not text.startswith(prefixes):
        allowed = prefixes[0].rstrip(".") if len(prefixes) == 1 else "either .spec or .status"
        errors.append(invalid(path, text, f"should be a json path under {allowed}"))


def _conversion(errors: Errors, definition: CustomResourceDefinition) -> None:
    conversion = definition.spec.conversion
    if conversion is None or conversion.strategy in ("", "None"):
        if conversion is not None and conversion.webhook is not None:
            text = "should not be set when strategy is not set to Webhook"
            errors.append(forbidden("spec.conversion.webhook", text))
    elif conversion.strategy != "Webhook":
        errors.append(not_supported("spec.conversion.strategy", conversion.strategy, ("None", "Webhook")))
    elif len(definition.spec.versions) > 1:
        # With one version there is nothing to convert, and the definition of such an operator works.
        errors.append(not_supported("spec.conversion.strategy", conversion.strategy, ("None",)))


# --- structural schemas


def structural(schema: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Complaints about a version's schema."""
    if not schema.get("type"):
        yield required(f"{path}.type", "must not be empty at the root")
    elif schema["type"] != "object":
        yield invalid(f"{path}.type", schema["type"], "must be object at the root")
    if "default" in schema:
        yield forbidden(f"{path}.default", "must not be set at the root")
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    errors = list(_place(schema, path, where=""))
    yield from errors
    if not errors:
        yield from _defaults(schema, path)


def _place(schema: Any, path: str, where: str) -> Iterator[FieldError]:
    """One place and all below; `where` says what it is, for the message about a missing type."""
    if not isinstance(schema, dict):
        yield invalid(path, schema, "must be a schema object")
        return
    mixed = schema.get("x-kubernetes-int-or-string") is True
    free = schema.get("x-kubernetes-preserve-unknown-fields") is True
    type = schema.get("type") or ""
    if where and not type and not mixed and not free:
        yield required(f"{path}.type", f"must not be empty for specified {where}")
    if type and mixed:
        yield invalid(f"{path}.type", type, "must be empty if x-kubernetes-int-or-string is true")
    elif type and type not in TYPES:
        yield not_supported(f"{path}.type", type, TYPES)
    if type == "array" and "items" not in schema:
        yield required(f"{path}.items", "must be specified")
    yield from _keywords(schema, path, type)
    properties, additional, items = schema.get("properties"), schema.get("additionalProperties"), schema.get("items")
    if properties and additional not in (None, True):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if additional is False:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if isinstance(items, list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    for name, below in (properties or {}).items():
        yield from _place(below, f"{path}.properties[{name}]", "object fields")
    if isinstance(additional, dict):
        yield from _untyped(additional, f"{path}.additionalProperties", "object fields")
    if isinstance(items, dict):
        yield from _untyped(items, f"{path}.items", "array items")
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(schema.get(keyword) or ()):
            yield from _judging(below, f"{path}.{keyword}[{index}]", mixed)
    if isinstance(schema.get("not"), dict):
        yield from _judging(schema["not"], f"{path}.not", mixed)


def _untyped(schema: dict[str, Any], path: str, where: str) -> Iterator[FieldError]:
    """A place that the definition's type does not speak of, so that it may hold anything."""
    try:
        msgspec.convert(schema, JSONSchemaProps)
    except msgspec.ValidationError as error:
        yield invalid(path, schema, f"must be a schema object: {error}")
        return
    yield from _place(schema, path, where)


def _keywords(schema: dict[str, Any], path: str, type: str) -> Iterator[FieldError]:
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", text)
    for name, text in (
        ("$ref", "$ref is not supported"),
        ("patternProperties", "patternProperties is not supported"),
        ("definitions", "definitions is not supported"),
        ("dependencies", "dependencies is not supported"),
        ("additionalItems", "additionalItems is not supported"),
        ("id", "id is not supported"),
    ):
        if schema.get(name):
            yield forbidden(f"{path}.{name}", text)
    if schema.get("pattern"):
        try:
            go_pattern(schema["pattern"])
        except re.error as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", schema["pattern"], text)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        text = "must be true or undefined"
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, text)
    if schema.get("x-kubernetes-embedded-resource"):
        if type != "object":
            text = "must be object if x-kubernetes-embedded-resource is true"
            yield invalid(f"{path}.type", type, text) if type else required(f"{path}.type", text)
        if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
            text = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            yield required(f"{path}.properties", text)
    yield from _lists(schema, path, type)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None and map_type not in ("atomic", "granular"):
        yield not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))
    if map_type is not None and type != "object":
        yield invalid(f"{path}.type", type, "must be object if x-kubernetes-map-type is specified")


def _lists(schema: dict[str, Any], path: str, type: str) -> Iterator[FieldError]:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    if list_type is None:
        if keys:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            yield required(f"{path}.x-kubernetes-list-type", text)
        return
    if list_type not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "map", "set"))
    if type != "array":
        yield invalid(f"{path}.type", type, "must be array if x-kubernetes-list-type is specified")
    items = schema.get("items")
    if list_type != "map" or not isinstance(items, dict):
        return
    at = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(at, "must not be empty if x-kubernetes-list-type is map")
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        below = properties.get(key)
        if key in keys[:index]:
            yield duplicate(f"{at}[{index}]", key)
        if below is None:
            yield invalid(f"{at}[{index}]", key, "entries must all be names of item properties")
        elif below.get("type") not in ("string", "number", "integer", "boolean"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{path}.items.properties[{key}].type", below.get("type") or "", text)
        elif key not in (items.get("required") or ()) and "default" not in below:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{path}.items.properties[{key}].default", text)


_STRUCTURE = (
    "description", "type", "default", "additionalProperties", "nullable", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string",
)  # fmt: skip


def _judging(schema: Any, path: str, mixed: bool) -> Iterator[FieldError]:
    """Below allOf, anyOf, oneOf and not only values are judged: the structure is told outside."""
    if not isinstance(schema, dict):
        yield invalid(path, schema, "must be a schema object")
        return
    for keyword in _STRUCTURE:
        if keyword in schema and not (keyword == "type" and mixed):
            text = (
                "must be empty to be structural"
                if keyword in ("description", "type")
                else ("must be undefined to be structural")
            )
            yield forbidden(f"{path}.{keyword}", text)
    if schema.get("pattern"):
        yield from (error for error in _keywords({"pattern": schema["pattern"]}, path, ""))
    for name, below in (schema.get("properties") or {}).items():
        yield from _judging(below, f"{path}.properties[{name}]", False)
    if isinstance(schema.get("items"), dict):
        yield from _judging(schema["items"], f"{path}.items", False)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(schema.get(keyword) or ()):
            yield from _judging(below, f"{path}.{keyword}[{index}]", mixed)
    if isinstance(schema.get("not"), dict):
        yield from _judging(schema["not"], f"{path}.not", mixed)


def _defaults(schema: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Defaults are valid values of their own places."""
    if "default" in schema:
        node, value = Node(schema), schema["default"]
        unknown = list(node.unknown(value))
        if unknown:
            yield invalid(f"{path}.default", value, "must be pruned: has unknown fields " + ", ".join(unknown))
        errors: Sequence[FieldError] = check(node, value, f"{path}.default")
        yield from errors
    for name, below in (schema.get("properties") or {}).items():
        yield from _defaults(below, f"{path}.properties[{name}]")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _defaults(schema[keyword], f"{path}.{keyword}")
