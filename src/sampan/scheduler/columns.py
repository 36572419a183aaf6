"""Labels of nodes as columns of numbers: one column per key, filled when the key is first asked for."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.scheduler.arrays import Ints, np
from sampan.scheduler.tallies import grown

MISSING = -1


class Column:
    """`ids[row]` is the number of the row's value in `values`, MISSING without one."""

    __slots__ = ("_numbers", "ids", "values")

    def __init__(self, size: int) -> None:
        self.ids: Ints = np.full(size, MISSING, np.int64)
        self.values: list[str] = []
        self._numbers: dict[str, int] = {}

    def put(self, row: int, value: str | None) -> None:
        if value is None:
            self.ids[row] = MISSING
            return
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        self.ids[row] = number

    def number(self, value: str) -> int | None:
        return self._numbers.get(value)

    def resize(self, size: int) -> None:
        before = len(self.ids)
        self.ids = grown(self.ids, size)
        self.ids[before:] = MISSING


class Labels:
    def __init__(self) -> None:
        self._size = 0
        self._rows: dict[int, Mapping[str, str]] = {}
        self._columns: dict[str, Column] = {}

    def column(self, key: str) -> Column:
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = Column(self._size)
            for row, labels in self._rows.items():
                column.put(row, labels.get(key))
        return column

    def put(self, row: int, labels: Mapping[str, str]) -> None:
        self._rows[row] = labels
        for key, column in self._columns.items():
            column.put(row, labels.get(key))

    def remove(self, row: int) -> None:
        del self._rows[row]
        for column in self._columns.values():
            column.put(row, None)

    def resize(self, size: int) -> None:
        self._size = size
        for column in self._columns.values():
            column.resize(size)
