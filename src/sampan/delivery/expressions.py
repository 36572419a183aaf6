"""Regular expressions that somebody else has written, matched in a process of their own.

Python's `re` holds up all threads while it matches, and some expressions take it years: the node has pods to see to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

TIME = 5.0
"""Seconds that matching may take."""
_PROGRAM = """\
import json, re, sys
expression, texts, whole = json.load(sys.stdin)
try:
    match = re.compile(expression).fullmatch if whole else re.compile(expression).search
    print("yes" if any(map(match, texts)) else "no")
except (re.error, RecursionError, OverflowError) as error:
    print(error)
"""


class ExpressionError(ValueError):
    """Why nothing came of it."""


def found(expression: str, texts: Sequence[str], *, whole: bool = False) -> bool:
    """Whether one of the texts has it, or with `whole` is it. Blocking. Raises ExpressionError."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([expression, list(texts), whole]),
            capture_output=True,
            text=True,
            timeout=TIME,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExpressionError(f"{expression} takes longer than {TIME:g} s: write a simpler expression") from None
    said = done.stdout.strip()
    if done.returncode or said not in ("yes", "no"):
        raise ExpressionError(f"{expression} is no expression: {said or f'exit code {done.returncode}'}")
    return said == "yes"
