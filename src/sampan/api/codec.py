"""The crossing between bytes, documents (dict) and Structs. Nothing else encodes or decodes objects."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sampan.api import shapes
from sampan.api.custom.object import CustomObject
from sampan.api.errors import StatusError, bad_request, unsupported_media_type
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import meta_v1

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MEDIA_TYPES = (JSON, YAML, PROTOBUF)


class Meta(msgspec.Struct, frozen=True, gc=False):
    """What the server's generic code reads of any stored object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    deletionGracePeriodSeconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[meta_v1.OwnerReference, ...] = ()


class _Object(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta = Meta()


_META = msgspec.json.Decoder(_Object)
_ANY = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


# --- bytes to documents


def parse(body: bytes, content_type: str, *, kind: str = "", keep_nulls: bool = False) -> Document:
    """A request's body as a document. Raises BadRequest, or UnsupportedMediaType for another content type.

    Null means absent and is dropped, unless `keep_nulls` (custom resources). `kind` is what the endpoint
    expects, for the message.
    """
    media = content_type.partition(";")[0].strip().lower()
    try:
        if media in (JSON, "", "*/*"):
            value = _ANY.decode(body)
        elif media in (YAML, "application/x-yaml", "text/yaml"):
            value = _load_yaml(body)
        elif media == PROTOBUF:
            value = _load_protobuf(body)
        else:
            raise unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(MEDIA_TYPES)
            )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unrecognized(kind, _json_phrase(error, body), body) from None
    if value.__class__ is not dict:
        word = f"json: cannot unmarshal {word_of(value)} into Go value of type map[string]interface {{}}"
        raise _unrecognized(kind, word, body)
    if not keep_nulls and (media != JSON or b"null" in body):
        shapes.drop_nulls(value)
    return value


def _load_yaml(body: bytes) -> Any:
    from sampan.api import yaml  # it costs 15 ms, and most bodies are JSON

    try:
        return yaml.load(body)[0]
    except yaml.YAMLError as error:
        raise msgspec.DecodeError(f"error converting YAML to JSON: {error}") from None


def _load_protobuf(body: bytes) -> Any:
    from sampan.api import protobuf  # few clients send it

    try:
        return protobuf.decode(body)
    except protobuf.Malformed as error:
        raise bad_request(f"the body is no protobuf message of Kubernetes: {error}") from None


def _unrecognized(kind: str, why: str, body: bytes) -> StatusError:
    must = f" (must be of type {kind})" if kind else ""
    return bad_request(
        f"the object provided is unrecognized{must}: couldn't get version/kind; json parse error: {why} "
        f"({_summary(body)})"
    )


def _summary(body: bytes) -> str:
    """The body's beginning: as text when it may be JSON, in hexadecimal otherwise."""
    if not body:
        return "<empty>"
    start = body[:30].decode("utf-8", "replace") if body[:1] == b"{" else body[:30].hex()
    return f"{start} ..." if len(body) > 30 else start


def _json_phrase(error: Exception, body: bytes) -> str:
    text = str(error)
    if isinstance(error, RecursionError):
        return "exceeded max depth"
    if not body.strip() or "truncated" in text:
        return "unexpected end of JSON input"
    at = re.search(r"invalid character \(byte (\d+)\)", text)
    if at and int(at[1]) < len(body):
        character = chr(body[int(at[1])])
        return f"invalid character {character!r} looking for beginning of value"
    return text.removeprefix("JSON is malformed: ")


def word_of(value: Any) -> str:
    """JSON's name of a value's type, as Go's decoder prints it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list | tuple):
        return "array"
    return "string" if isinstance(value, str) else "number"


def duplicates(body: bytes, content_type: str, document: Document) -> list[str]:
    """Complaints about keys that the body gives more than once; `document` is what `parse` made of it.

    Protobuf has none: a later value of a field replaces an earlier one by the format's own rules.

    Equal counts of `":` in the body and in the document encoded anew mean that no member got lost: the fast way.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == PROTOBUF:
        return []
    if media == YAML:
        from sampan.api import yaml

        return yaml.load(body)[1]
    if body.count(b'":') == _encoder.encode(document).count(b'":'):
        return []
    return [f'duplicate field "{path}"' for path in _repeated(json.loads(body, object_pairs_hook=_Pairs), "")]


class _Pairs(list[tuple[str, Any]]):
    """An object's members in order, repeated ones too."""


def _repeated(value: Any, path: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, _Pairs):
        counts = Counter(name for name, _ in value)
        found += [path + name for name, count in counts.items() if count > 1]
        for name, member in value:
            found += _repeated(member, f"{path}{name}." if isinstance(member, _Pairs) else path + name)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += _repeated(member, f"{path}[{index}].")
    return found


# --- documents to Structs


def identify(kind: Kind, document: Document) -> None:
    """Fill in apiVersion and kind; refuse a document of another kind."""
    given, version = document.get("kind"), document.get("apiVersion")
    if given == kind.name and version == kind.api_version:
        return
    for name, value in (("kind", given), ("apiVersion", version)):
        if value is not None and not isinstance(value, str):
            raise bad_request(
                f"the object provided is unrecognized (must be of type {kind.name}): couldn't get version/kind; "
                f"json parse error: json: cannot unmarshal {word_of(value)} into Go struct field .{name} of type string"
            )
    if version and version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if given and given != kind.name:
        raise refuse(kind, f'no kind "{given}" is registered for this endpoint', given)
    document["apiVersion"], document["kind"] = kind.api_version, kind.name


def refuse(kind: Kind, why: str, given: str = "") -> StatusError:
    """BadRequest in the words of upstream's decoder."""
    return bad_request(f'{given or kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: {why}')


def normalize(kind: Kind, document: Document) -> None:
    """Bring quantities, times and base64 into canonical form, in place. Raises BadRequest."""
    try:
        shapes.walker(kind.type)(document, None, None)
    except ValueError as error:
        raise refuse(kind, str(error)) from None
    except RecursionError:
        raise refuse(kind, "json: exceeded max depth") from None


def decode(kind: Kind, document: Document) -> Any:
    """The document as the kind's Struct, unknown fields left out. Raises BadRequest for wrong types.

    A custom kind's object keeps all fields: its schema prunes and judges them (Kind.default, Kind.validate).
    """
    if kind.custom is not None:
        if isinstance(document.get("metadata"), dict):
            shapes.drop_nulls(document["metadata"])
        plain = _struct(kind, {name: document[name] for name in _ENVELOPE if name in document})
        content = {name: value for name, value in document.items() if name not in _ENVELOPE}
        return msgspec.structs.replace(plain, content=content)
    return _struct(kind, document)


_ENVELOPE = ("apiVersion", "kind", "metadata")


def _struct(kind: Kind, document: Document) -> Any:
    try:
        return msgspec.convert(document, kind.type)
    except msgspec.ValidationError as first:
        error = first
    except RecursionError:
        raise refuse(kind, "json: exceeded max depth") from None
    if "got `null`" in str(error):
        # A patch left it behind; null means absent, as in `parse`.
        shapes.drop_nulls(document)
        try:
            return msgspec.convert(document, kind.type)
        except msgspec.ValidationError as second:
            error = second
    raise refuse(kind, _type_phrase(kind.type, document, str(error)))


def _type_phrase(type: type[msgspec.Struct], document: Document, text: str) -> str:
    """Go's words for msgspec's: follow the path through the document and the types."""
    path = text.rpartition(" - at `$")[2].rstrip("`") if " - at `$" in text else ""
    node, owner, names = shapes.Node("struct", type=type), type, []
    value: Any = document
    for step in re.findall(r"\.[^.\[\]]+|\[\.\.\.\]|\[\d+\]", path):
        if step[0] == ".":
            owner = node.type or owner
            names.append(step[1:])
            node = shapes.fields(owner)[step[1:]]
            value = value[step[1:]]
        else:
            node = node.inner or node
            value = _culprit(node, value) if step == "[...]" else value[int(step[1:-1])]
    word = word_of(value) + (f" {value}" if isinstance(value, float | int) and node.form in _NUMBERS else "")
    where = f"struct field {owner.__name__}.{'.'.join(names)}" if names else "value"
    return f"json: cannot unmarshal {word} into Go {where} of type {node.go}"


_NUMBERS = ("int32", "int64")


def _culprit(node: shapes.Node, mapping: dict[str, Any]) -> Any:
    """The first value of a map that does not have the type `node` says."""
    for value in mapping.values():
        wanted = {"string": str, "struct": dict, "list": list, "bool": bool}.get(node.form, int | float)
        if not isinstance(value, wanted):
            return value
    return next(iter(mapping.values()), "")


def unknown_fields(kind: Kind, document: Document) -> list[str]:
    """Paths of fields that the kind does not have, such as `spec.foo`; call it after `decode` succeeded."""
    if kind.custom is not None:
        return kind.custom.unknown(document)
    if not shapes.recursive(kind.type):
        try:
            msgspec.convert(document, shapes.strict(kind.type))
        except msgspec.ValidationError:
            return shapes.unknown(kind.type, document)
        return []
    return shapes.unknown(kind.type, document)


# --- Structs and documents to bytes


def encode(object: msgspec.Struct | Document) -> bytes:
    """JSON with apiVersion, kind and metadata first."""
    if isinstance(object, dict):
        first = {name: object[name] for name in ("apiVersion", "kind", "metadata") if name in object}
        return _encoder.encode({**first, **object})
    if isinstance(object, CustomObject):
        return _encoder.encode(object.document())
    return _encoder.encode(object)


def document(object: msgspec.Struct) -> Document:
    """The Struct as a document of its own: changing it changes nothing else."""
    made: Document = _ANY.decode(encode(object))
    return made


_METADATA = b'"metadata":{'


def with_revision(value: bytes, revision: int) -> bytes:
    """The encoded object with `metadata.resourceVersion` set; `value` must come from `encode` and have none."""
    at = value.index(_METADATA) + 12
    end = b'"' if value[at] == 125 else b'",'
    return b'%b"resourceVersion":"%d%b%b' % (value[:at], revision, end, value[at:])


def decoder(kind: Kind) -> msgspec.json.Decoder[Any]:
    """Reads encoded objects as the kind's columns want them: Structs, documents of custom kinds."""
    return _ANY if kind.custom is not None else msgspec.json.Decoder(kind.type)


# --- partial reads of bytes


def meta(value: bytes) -> Meta:
    """The metadata of an encoded object, without decoding the rest."""
    return _META.decode(value).metadata


def fields(kind: Kind, value: bytes, paths: Sequence[str]) -> dict[str, str]:
    """The values of field selectors' paths in an encoded object, as strings; what is absent is "", 0 or false."""
    return field_reader(kind.type, tuple(paths))(value)


# Field selectors that are not called what the field is called.
_ALIASES = {"source": "source.component", "status.successful": "status.succeeded"}


@functools.lru_cache(maxsize=512)
def field_reader(type: type[msgspec.Struct], paths: tuple[str, ...]) -> Callable[[bytes], dict[str, str]]:
    """A compiled `fields` for one type and some paths; it decodes only what the paths name."""
    tree: dict[str, Any] = {}
    places = {path: _ALIASES.get(path, path).split(".") for path in paths}
    for names in places.values():
        branch = tree
        for name in names:
            branch = branch.setdefault(name, {})
    decoder = msgspec.json.Decoder(_partial("Fields", tree))
    getters = {path: _getter(names, _absent(type, names)) for path, names in places.items()}

    def read(value: bytes) -> dict[str, str]:
        found = decoder.decode(value)
        return {path: get(found) for path, get in getters.items()}

    return read


def _partial(name: str, tree: dict[str, Any]) -> Any:
    members = [(key, _partial(key, branch) | None if branch else Any, None) for key, branch in tree.items()]
    return msgspec.defstruct(name, members, gc=False)


def _absent(type: type[msgspec.Struct], names: list[str]) -> str:
    node = shapes.Node("struct", type=type)
    for name in names:
        node = shapes.fields(node.type).get(name, shapes.Node("any")) if node.type else shapes.Node("any")
    return {"int32": "0", "int64": "0", "bool": "false"}.get(node.form, "")


def _getter(names: list[str], absent: str) -> Callable[[Any], str]:
    def get(found: Any) -> str:
        for name in names:
            found = getattr(found, name, None)
            if found is None:
                return absent
        if found.__class__ is str:
            return found
        return ("true" if found else "false") if found.__class__ is bool else str(found)

    return get
