"""`sampan explain`: what the fields of a kind mean, from the server's OpenAPI documents."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select
from sampan.cli.kubectl.resources import Resource
from sampan.cli.kubectl.session import connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan explain pods
  sampan explain pod.spec.containers.resources
  sampan explain deployment --recursive"""

WIDTH = 80


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    add = parser.add_argument
    add("--recursive", action="store_true", help="show the fields of fields, without their meaning")
    add("--api-version", default="", metavar="GROUP/VERSION", help="of this version")
    add("-o", "--output", default="plaintext", metavar="plaintext|plaintext-openapiv2", help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) != 1:
        raise CommandError("error: " + select.RESOURCE_NEEDED.format(verb="explain"))
    async with connect(options, context) as session:
        known = await session.resources()
        word, *path = options.args[0].split(".")
        resource = known.find(word)
        # `deployments.apps` is a resource, `pods.spec` a field of one.
        groups = [
            r
            for r in known
            if r.plural == resource.plural and r.group and path[: r.group.count(".") + 1] == r.group.split(".")
        ]
        if groups:
            resource, path = groups[0], path[groups[0].group.count(".") + 1 :]
        if options.api_version:
            match = [r for r in known if r.api_version == options.api_version and r.kind == resource.kind]
            if not match:
                raise CommandError(f"error: couldn't find resource for {options.api_version}, Kind={resource.kind}")
            resource = match[0]
        prefix = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
        document = await session.read(f"/openapi/v3/{prefix}")
    schemas = (document.get("components") or {}).get("schemas") or {}
    try:
        context.stdout.write(explain(Schemas(schemas), resource, path, recursive=options.recursive))
    except NoField as error:
        context.stdout.write(error.said)
        raise
    return 0


class NoField(CommandError):
    """`said` is what kubectl has printed before it notices."""

    def __init__(self, said: str, message: str) -> None:
        super().__init__(message)
        self.said = said


class Schemas:
    """Follows references; what a field's own description says wins over that of its type."""

    def __init__(self, schemas: Document) -> None:
        self._schemas = schemas

    def of(self, resource: Resource) -> Document:
        for schema in self._schemas.values():
            for each in schema.get("x-kubernetes-group-version-kind") or ():
                if (each["group"], each["version"], each["kind"]) == (resource.group, resource.version, resource.kind):
                    return dict(schema)
        raise CommandError(
            f"error: GVR ({resource.api_version}, Resource={resource.plural}) not found in OpenAPI schema"
        )

    def resolve(self, schema: Document) -> Document:
        """The schema itself behind references, with the outermost description."""
        description = schema.get("description")
        seen = 0
        while seen < 10:
            seen += 1
            if "$ref" in schema:
                schema = self._schemas.get(schema["$ref"].rpartition("/")[2]) or {}
            elif len(schema.get("allOf") or ()) == 1:
                schema = schema["allOf"][0]
            else:
                break
            description = description or schema.get("description")
        return {**schema, **({"description": description} if description else {})}

    def type_name(self, schema: Document) -> str:
        """`string`, `[]Container`, `map[string]string`, `ObjectMeta`."""
        name = self._reference(schema)
        resolved = self.resolve(schema)
        if resolved.get("type") == "array":
            return f"[]{self.type_name(resolved.get('items') or {})}"
        if isinstance(resolved.get("additionalProperties"), dict):
            return f"map[string]{self.type_name(resolved['additionalProperties'])}"
        if resolved.get("type") in (None, "object"):
            return name or "Object"
        return str(resolved["type"])

    def _reference(self, schema: Document) -> str:
        while True:
            if "$ref" in schema:
                return str(schema["$ref"].rpartition(".")[2])
            if len(schema.get("allOf") or ()) != 1:
                return ""
            schema = schema["allOf"][0]

    def inside(self, schema: Document) -> Document:
        """The schema whose properties a field's path goes on in: that of items and of values."""
        resolved = self.resolve(schema)
        while True:
            if resolved.get("type") == "array":
                resolved = self.resolve(resolved.get("items") or {})
            elif isinstance(resolved.get("additionalProperties"), dict) and not resolved.get("properties"):
                resolved = self.resolve(resolved["additionalProperties"])
            else:
                return resolved


def explain(schemas: Schemas, resource: Resource, path: list[str], *, recursive: bool) -> str:
    schema = schemas.of(resource)
    lines = [f"GROUP:      {resource.group}"] if resource.group else []
    lines += [f"KIND:       {resource.kind}", f"VERSION:    {resource.version}", ""]
    field: Document | None = None
    name = ""
    for step in path:
        properties = schemas.inside(schema if field is None else field).get("properties") or {}
        if step not in properties:
            raise NoField("\n".join([*lines, ""]), f'error: field "{step}" does not exist')
        field, name = properties[step], step
    described = schema if field is None else field
    if field is not None:
        lines += [f"FIELD: {name} <{schemas.type_name(field)}>", "", ""]
    resolved = schemas.resolve(described)
    lines.append("DESCRIPTION:")
    lines += _described(resolved, schemas, described)
    lines.append("    ")
    inside = schemas.inside(described)
    if inside.get("properties"):
        lines.append("FIELDS:")
        lines += list(_fields(schemas, inside, 1, recursive=recursive))
    return "\n".join([*lines, "", ""])


def _described(resolved: Document, schemas: Schemas, schema: Document) -> Iterator[str]:
    """The field's own words, then those of its type."""
    texts = [schema.get("description"), resolved.get("description"), schemas.inside(schema).get("description")]
    texts += [schemas.resolve({key: value for key, value in schema.items() if key != "description"}).get("description")]
    for text in dict.fromkeys(filter(None, texts)):
        yield from _wrapped(text, 4)
    if not any(texts):
        yield from _wrapped("<empty>", 4)


def _wrapped(text: str, indent: int) -> list[str]:
    found: list[str] = []
    for paragraph in text.split("\n"):
        wrapped = textwrap.wrap(paragraph, WIDTH - indent, break_long_words=False, break_on_hyphens=False)
        found += [" " * indent + line for line in wrapped or [""]]
    return [line.rstrip() if line.strip() else " " * indent for line in found]


def _fields(
    schemas: Schemas, schema: Document, level: int, *, recursive: bool, seen: tuple[str, ...] = ()
) -> Iterator[str]:
    required = schema.get("required") or ()
    for name, field in sorted((schema.get("properties") or {}).items()):
        type_ = schemas.type_name(field)
        mark = " -required-" if name in required else ""
        yield f"{'  ' * level}{name}\t<{type_}>{mark}"
        resolved = schemas.resolve(field)
        if resolved.get("enum"):
            yield f"{'  ' * level}enum: {', '.join(map(str, resolved['enum']))}"
        if recursive:
            inside = schemas.inside(field)
            if inside.get("properties") and type_ not in seen:
                yield from _fields(schemas, inside, level + 1, recursive=True, seen=(*seen, type_))
        else:
            yield from _wrapped(resolved.get("description") or "<no description>", 2 * level + 2)
            yield ""
