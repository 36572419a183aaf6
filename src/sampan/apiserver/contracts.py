"""What the rooms of the API server give each other: attributes of a request, a view of the state, admission.

The view is the watch cache, so reads cost no I/O and authorization may ask it for every request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from sampan.api.kinds.kind import Document, Kind
from sampan.api.user import User
from sampan.http.types import Connection, Request, Response

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Who wants to do what, as RBAC sees it.

    `verb` is get, list, watch, create, update, patch, delete or deletecollection for resources, and the HTTP
    method in lower case for other paths. `resource` is the plural; `path` is set for all requests.
    """

    user: User
    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Authenticator(Protocol):
    def __call__(self, request: Request) -> User:
        """Raises Unauthorized; a request without credentials is system:anonymous."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` says for a person why; `evaluation_error` what could not be evaluated on the way."""

    allowed: bool
    reason: str = ""
    evaluation_error: str = ""


class Authorizer(Protocol):
    def __call__(self, attributes: Attributes) -> Decision: ...


class View(Protocol):
    """Reads from memory. Objects are decoded Structs that are shared: never change them."""

    def get(self, type: type[T], name: str, namespace: str = "") -> T | None: ...

    def list(self, type: type[T], namespace: str = "") -> Sequence[T]:
        """All of one namespace, or of all with ""; in no particular order."""
        ...

    def generation(self, type: type[msgspec.Struct]) -> int:
        """A number that changes whenever any object of the type changes: for caches of what was computed."""
        ...


class Writer(Protocol):
    """Writes through the front door as the server itself (authorization aside: admission, validation, storage)."""

    async def create(self, kind: Kind, document: Document) -> Document: ...

    async def update(self, kind: Kind, document: Document, *, subresource: str = "") -> Document:
        """Unconditional when the document has no resourceVersion."""
        ...


Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class Admission:
    """One write on its way in. Plugins change `document` in place before validation, or raise StatusError.

    `document` is None for DELETE and CONNECT; `old` is None for CREATE. `kind` is that of the resource;
    a subresource's body (Binding, Eviction, Scale) is in `document` as it was sent.
    """

    attributes: Attributes
    kind: Kind
    operation: Operation
    document: Document | None
    old: Document | None = None
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    """What the client shall be told although the write passes."""
    connection: Document | None = None
    """The options of a connection, as an object."""
    changed: bool = False
    """A webhook has changed the document: all plugins see it once more."""
    second: bool = False
    """That second round."""
    seen: dict[str, bytes | None] = field(default_factory=dict)
    """By webhook, the document after it was asked."""


class AdmissionPlugin(Protocol):
    """`name` is upstream's. `handles` are resources by their names in messages (`deployments.apps`), () for all."""

    name: str
    handles: tuple[str, ...]

    def admit(self, admission: Admission) -> Awaitable[None] | None:
        """Change the document or raise StatusError; an awaitable only when something must be waited for."""
        ...

    def validate(self, admission: Admission) -> Awaitable[None] | None:
        """Judge the final document; raise StatusError."""
        ...


class NodeConnector(Protocol):
    """The way from the API server to a node's server and to pods (log, exec, attach, portforward, proxy).

    With `node` the connection proves the API server's identity, which nobody but nodes may see. Raises OSError.
    """

    async def send(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> Response:
        """The answer, its body streamed."""
        ...

    async def connect(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> tuple[Response, Connection]:
        """An upgraded connection: the 101 response and the raw bytes behind it."""
        ...
