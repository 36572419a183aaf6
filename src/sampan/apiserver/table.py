"""Tables: what `kubectl get` prints, made from a kind's columns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from sampan.api.columns.common import NAME_AND_CREATED
from sampan.api.kinds.kind import Kind
from sampan.apiserver.cacher import Item

_HEAD = b'{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":'
_PARTIAL = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":'
_PARTIAL_LIST = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":'


class _Raw(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


_RAW = msgspec.json.Decoder(_Raw)
_encode = msgspec.json.Encoder().encode


def definitions(kind: Kind) -> bytes:
    columns = kind.columns or NAME_AND_CREATED
    return _encode(
        [
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": column.description,
                "priority": column.priority,
            }
            for column in columns
        ]
    )


def partial(value: bytes) -> bytes:
    """PartialObjectMetadata of an encoded object."""
    return _PARTIAL + bytes(_RAW.decode(value).metadata) + b"}"


def partial_list(values: Sequence[bytes], metadata: bytes) -> bytes:
    return _PARTIAL_LIST + metadata + b',"items":[' + b",".join(map(partial, values)) + b"]}"


class Tables:
    """Makes tables of one kind; `include` is the query parameter includeObject: None, Metadata or Object."""

    def __init__(self, kind: Kind, decoder: msgspec.json.Decoder[Any]) -> None:
        self._columns = kind.columns or NAME_AND_CREATED
        self._definitions = definitions(kind)
        self._decoder = decoder

    def make(self, values: Sequence[bytes], metadata: bytes, include: str, *, head: bool = True) -> bytes:
        now = time.time()
        rows = b",".join([self._row(value, now, include) for value in values])
        columns = self._definitions if head else b"null"
        return _HEAD + metadata + b',"columnDefinitions":' + columns + b',"rows":[' + rows + b"]}"

    def of_item(self, item: Item, include: str, *, head: bool = True) -> bytes:
        metadata = b'{"resourceVersion":"%d"}' % item.revision
        return self.make((item.value,), metadata, include, head=head)

    def _row(self, value: bytes, now: float, include: str) -> bytes:
        object = self._decoder.decode(value)
        cells = _encode([column.cell(object, now) for column in self._columns])
        if include == "None":
            return b'{"cells":' + cells + b"}"
        shown = value if include == "Object" else partial(value)
        return b'{"cells":' + cells + b',"object":' + shown + b"}"
