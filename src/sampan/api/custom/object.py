"""Objects without a Struct of their own: metadata is typed, everything else is whatever the document said."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.api.types import meta_v1


class CustomObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`content` is what stands beside apiVersion, kind and metadata; codec.decode fills it, codec.encode writes it."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta = msgspec.field(default_factory=meta_v1.ObjectMeta)
    content: dict[str, Any] = msgspec.field(default_factory=dict, name=" content")

    def document(self) -> dict[str, Any]:
        """Everything, in the wire's order; metadata is still a Struct."""
        return {"apiVersion": self.apiVersion, "kind": self.kind, "metadata": self.metadata, **self.content}


def make_type(name: str) -> type[CustomObject]:
    """A type of its own for one kind, by which the View and messages know it."""
    made: Any = msgspec.defstruct(name, [], bases=(CustomObject,), frozen=True, kw_only=True, omit_defaults=True)
    return made  # type: ignore[no-any-return]
