"""Tables as kubectl prints them: columns three blanks apart, widths that only grow while a watch goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TextIO

Document = dict[str, Any]

PADDING, NARROWEST = 3, 6
ACCEPT = ",".join(
    (
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
        "application/json",
    )
)


class Columns:
    """Aligns rows of cells. The last cell of a row is not padded."""

    def __init__(self, padding: int = PADDING, narrowest: int = NARROWEST) -> None:
        self._padding = padding
        self._narrowest = narrowest
        self._widths: list[int] = []

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        rows = [list(row) for row in rows]
        for row in rows:
            for at, cell in enumerate(row[:-1]):
                width = max(self._narrowest, len(cell) + self._padding)
                if at < len(self._widths):
                    self._widths[at] = max(self._widths[at], width)
                else:
                    self._widths.append(width)
        return [
            "".join([*(cell.ljust(self._widths[at]) for at, cell in enumerate(row[:-1])), *row[-1:]]) for row in rows
        ]


class TablePrinter:
    """Prints the Tables that servers make. `wide` shows all columns, `labels` all labels, `label_columns` some."""

    def __init__(
        self,
        stream: TextIO,
        *,
        wide: bool = False,
        headers: bool = True,
        namespaces: bool = False,
        labels: bool = False,
        label_columns: Sequence[str] = (),
        kind: str = "",
    ) -> None:
        self._stream = stream
        self._wide = wide
        self._headers = headers
        self._namespaces = namespaces
        self._labels = labels
        self._label_columns = label_columns
        self._kind = kind
        self._columns = Columns()
        self._indexes: list[int] = []
        self._definitions: list[Document] = []

    def show(self, table: Document, events: str = "") -> None:
        """The rows, and before the first ones the headers. `events` is the type of a watch's event to show."""
        rows: list[list[str]] = []
        if table.get("columnDefinitions"):
            self._definitions = table["columnDefinitions"]
            self._indexes = [
                at for at, column in enumerate(self._definitions) if self._wide or not column.get("priority")
            ]
        if self._headers:
            rows.append(self._header(bool(events)))
            self._headers = False
        for row in table.get("rows") or ():
            rows.append(self._row(row, events))
        for line in self._columns.lines(rows):
            self._stream.write(line + "\n")
        self._stream.flush()

    def _header(self, events: bool) -> list[str]:
        names = [self._definitions[at]["name"].upper() for at in self._indexes]
        return [
            *(["EVENT"] if events else []),
            *(["NAMESPACE"] if self._namespaces else []),
            *names,
            *(key.rpartition("/")[2].upper() for key in self._label_columns),
            *(["LABELS"] if self._labels else []),
        ]

    def _row(self, row: Document, event: str) -> list[str]:
        meta = (row.get("object") or {}).get("metadata") or {}
        cells = [cell(row["cells"][at]) if at < len(row["cells"]) else "" for at in self._indexes]
        if self._kind:
            for place, at in enumerate(self._indexes):
                if self._definitions[at].get("format") == "name" or self._definitions[at]["name"] == "Name":
                    cells[place] = f"{self._kind}/{cells[place]}"
                    break
        labels = meta.get("labels") or {}
        return [
            *([event] if event else []),
            *([meta.get("namespace", "")] if self._namespaces else []),
            *cells,
            *(labels.get(key, "") for key in self._label_columns),
            *([label_text(labels)] if self._labels else []),
        ]


def cell(value: Any) -> str:
    if value is None:
        return "<none>" if value is None else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    # One object is one line, whatever is in it.
    first = text.splitlines()[0] + "..." if "\n" in text and text.splitlines() else text
    return first


def label_text(labels: Document) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def generic(document: Document, now: float) -> Document:
    """The Table of an object, or a list of objects, from a server that made none: name and age."""
    from sampan.api import duration

    items = document["items"] if isinstance(document.get("items"), list) else [document]
    rows = []
    for item in items:
        meta = item.get("metadata") or {}
        rows.append(
            {"cells": [meta.get("name", ""), duration.since(meta.get("creationTimestamp"), now)], "object": item}
        )
    definitions = [{"name": "Name", "format": "name"}, {"name": "Age"}]
    return {"kind": "Table", "columnDefinitions": definitions, "rows": rows, "metadata": document.get("metadata")}
