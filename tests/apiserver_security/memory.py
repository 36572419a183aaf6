"""A View of real Structs in memory, and short ways to make objects and requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from sampan.api import kinds
from sampan.api.kinds.kind import Document, Kind
from sampan.api.user import User
from sampan.apiserver.contracts import Attributes

T = TypeVar("T", bound=msgspec.Struct)


def kind(name: str, group: str = "") -> Kind:
    return next(k for k in kinds.ALL if k.name == name and (not group or k.group == group))


class Memory:
    """A View that tests fill with documents."""

    def __init__(self, *documents: Document) -> None:
        self._objects: dict[type, dict[tuple[str, str], Any]] = {}
        self._generations: dict[type, int] = {}
        for document in documents:
            self.put(document)

    def put(self, document: Document) -> None:
        of = next(
            k for k in kinds.ALL if k.name == document["kind"] and k.api_version == document.get("apiVersion", "v1")
        )
        struct = msgspec.convert(document, of.type)
        self._objects.setdefault(of.type, {})[
            (document["metadata"].get("namespace", ""), document["metadata"]["name"])
        ] = struct
        self._generations[of.type] = self._generations.get(of.type, 0) + 1

    def remove(self, type: type, name: str, namespace: str = "") -> None:
        del self._objects[type][(namespace, name)]
        self._generations[type] += 1

    def get(self, type: type[T], name: str, namespace: str = "") -> T | None:
        found: T | None = self._objects.get(type, {}).get((namespace, name))
        return found

    def list(self, type: type[T], namespace: str = "") -> Sequence[T]:
        return [o for (home, _), o in self._objects.get(type, {}).items() if not namespace or home == namespace]

    def generation(self, type: type[msgspec.Struct]) -> int:
        return self._generations.get(type, 0)


def make(
    kind: str, name: str, namespace: str = "", *, api: str = "v1", meta: Document | None = None, **rest: Any
) -> Document:
    metadata: Document = {"name": name, "uid": f"uid-{name}", **(meta or {})}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


RBAC = "rbac.authorization.k8s.io/v1"


def role(name: str, *rules: Document, namespace: str = "", **meta: Any) -> Document:
    return make("Role" if namespace else "ClusterRole", name, namespace, api=RBAC, meta=meta, rules=list(rules))


def bind(name: str, role: str, *subjects: str, namespace: str = "", cluster: bool = True) -> Document:
    """Subjects are `User x`, `Group x` or `ServiceAccount namespace/name`."""
    made = []
    for kind, _, rest in (s.partition(" ") for s in subjects):
        home, slash, account = rest.partition("/")
        if kind == "ServiceAccount":
            made.append({"kind": kind, "name": account if slash else rest, **({"namespace": home} if slash else {})})
        else:
            made.append({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": rest})
    reference = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole" if cluster else "Role",
        "name": role,
    }
    return make(
        "RoleBinding" if namespace else "ClusterRoleBinding",
        name,
        namespace,
        api=RBAC,
        roleRef=reference,
        subjects=made,
    )


def rule(verbs: str, resources: str, groups: str = "core", names: str = "") -> Document:
    return {
        "verbs": verbs.split(),
        "resources": resources.split(),
        "apiGroups": ["" if g == "core" else g for g in groups.split()],
        "resourceNames": names.split(),
    }


def who(name: str, *groups: str) -> User:
    return User(name, groups=groups)


def ask(user: User, verb: str, resource: str, namespace: str = "", name: str = "", group: str = "") -> Attributes:
    """`pods/log` asks for a subresource; a resource with a leading slash is a path."""
    if resource.startswith("/"):
        return Attributes(user, verb, resource)
    plural, _, sub = resource.partition("/")
    return Attributes(user, verb, f"/{plural}", True, group, "v1", plural, sub, namespace, name)
