"""Elastic tabs as Go's text/tabwriter sets them: a column is as wide as its widest cell in neighbouring lines."""

from __future__ import annotations


def align(text: str, *, narrowest: int = 0, padding: int = 2) -> str:
    """Cells end with a tab; what follows the last tab of a line belongs to no column."""
    rows = [line.split("\t") for line in text.split("\n")]
    made: list[list[str]] = [list(row) for row in rows]
    _column(rows, made, 0, len(rows), 0, narrowest, padding)
    return "\n".join("".join(row) for row in made)


def _column(
    rows: list[list[str]], made: list[list[str]], start: int, end: int, at: int, narrowest: int, padding: int
) -> None:
    """Pad column `at` of the lines from start to end, block by block, and the columns right of it."""
    line = start
    while line < end:
        if at >= len(rows[line]) - 1:
            line += 1
            continue
        last = line
        while last < end and at < len(rows[last]) - 1:
            last += 1
        width = max(narrowest, *(len(row[at]) + padding for row in rows[line:last]))
        for row in made[line:last]:
            row[at] = row[at].ljust(width)
        _column(rows, made, line, last, at + 1, narrowest, padding)
        line = last


class Writer:
    """Lines at levels of two blanks each; `text` aligns them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __call__(self, level: int, text: str = "") -> None:
        self._lines.append("  " * level + text if text else "")

    def text(self) -> str:
        return align(self.plain())

    def plain(self) -> str:
        """With its tabs."""
        return "".join(line + "\n" for line in self._lines)
