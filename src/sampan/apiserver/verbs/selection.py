"""What a list, a watch or a collection's deletion selects: labels and fields, compiled once per text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sampan.api import codec, selectors
from sampan.api.errors import bad_request
from sampan.api.kinds.kind import Kind
from sampan.api.selectors import FieldSelector, Selector
from sampan.apiserver.cacher import Item
from sampan.apiserver.routes import Route
from sampan.http.types import Request

Reader = Callable[[bytes], Mapping[str, str]]
_META = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selection:
    """`name` is set when the field selector asks for one object by name."""

    namespace: str
    labels: Selector
    fields: FieldSelector
    name: str
    read: Reader | None

    @property
    def everything(self) -> bool:
        return self.labels.empty and not self.fields.terms

    def matches(self, item: Item) -> bool:
        if not self.labels.empty and not self.labels.matches(item.meta.labels):
            return False
        if not self.fields.terms:
            return True
        values = dict(self.read(item.value)) if self.read else {}
        values["metadata.name"] = item.meta.name
        values["metadata.namespace"] = item.meta.namespace
        return self.fields.matches(values)


def of_request(request: Request, route: Route) -> Selection:
    """Raises BadRequest for a selector that cannot be understood."""
    if "?" not in request.target:
        return Selection(route.namespace, selectors.EVERYTHING, _NO_FIELDS, route.name, None)
    return compile_selection(
        route.kind, route.namespace, route.name, request.param("labelSelector"), request.param("fieldSelector")
    )


def compile_selection(kind: Kind, namespace: str, name: str, labels: str, fields: str) -> Selection:
    """`name` restricts to one object, as the deprecated watch of a single object does."""
    try:
        label_selector = selectors.labels(labels)
    except selectors.SelectorError as error:
        raise bad_request(
            f"unable to parse requirement: {error}" if "parse" not in str(error) else str(error)
        ) from None
    try:
        field_selector = selectors.fields(fields)
        selectors.check_fields(field_selector, kind.selectable)
    except selectors.SelectorError as error:
        raise bad_request(str(error)) from None
    wanted = field_selector.required("metadata.name")
    paths = tuple(term.field for term in field_selector.terms if term.field not in _META)
    if name and not wanted:
        field_selector = selectors.FieldSelector(
            (*field_selector.terms, selectors.FieldTerm("metadata.name", True, name))
        )
    read = codec.field_reader(kind.type, paths) if paths else None
    return Selection(namespace, label_selector, field_selector, wanted or name or "", read)


_NO_FIELDS = selectors.fields("")
