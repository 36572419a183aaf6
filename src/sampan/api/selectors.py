"""Label and field selectors: their text, the LabelSelector struct, and matching.

`labels(text)` and `label_selector(struct)` compile into a Selector, `fields(text)` into a FieldSelector;
errors are ValueErrors in upstream's wording (apimachinery's labels and fields packages).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from sampan.api import names
from sampan.api.errors import show
from sampan.api.types import meta_v1


class SelectorError(ValueError):
    """The selector cannot be understood."""


class Requirement(NamedTuple):
    """One condition; `operator` is one of = == != in notin exists ! gt lt."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        operator, value = self.operator, labels.get(self.key)
        if operator in ("=", "==", "in"):
            return value is not None and value in self.values
        if operator in ("!=", "notin"):
            return value is None or value not in self.values
        if operator == "exists":
            return value is not None
        if operator == "!":
            return value is None
        number = _integer(value)
        bound = int(self.values[0])
        return number is not None and (number > bound if operator == "gt" else number < bound)

    def __str__(self) -> str:
        operator = self.operator
        if operator == "exists":
            return self.key
        if operator == "!":
            return f"!{self.key}"
        if operator in ("in", "notin"):
            return f"{self.key} {operator} ({','.join(self.values)})"
        return f"{self.key}{_SIGNS.get(operator, operator)}{self.values[0]}"


_SIGNS = {"gt": ">", "lt": "<"}


class Selector:
    """All of its requirements must hold. `nothing` matches no object, whatever its labels."""

    __slots__ = ("_equal", "_others", "nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements))
        self.nothing = nothing
        plain = [r for r in self.requirements if r.operator in ("=", "==")]
        self._equal = tuple((r.key, r.values[0]) for r in plain)
        self._others = tuple(r for r in self.requirements if r.operator not in ("=", "=="))

    @property
    def empty(self) -> bool:
        """True when it selects everything."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self._others)

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and (self.requirements, self.nothing) == (other.requirements, other.nothing)

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z", re.ASCII)


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and _INTEGER.match(text) else None


def requirement(key: str, operator: str, values: Iterable[str]) -> Requirement:
    """A checked requirement. Raises SelectorError."""
    if problems := names.qualified_name(key):
        raise SelectorError(f"key: Invalid value: {show(key)}: {'; '.join(problems)}")
    texts = tuple(sorted(set(values)))
    shown = show(list(texts))
    if operator in ("in", "notin"):
        if not texts:
            raise SelectorError(
                f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"
            )
    elif operator in ("=", "==", "!="):
        if len(texts) != 1:
            raise SelectorError(f"values: Invalid value: {shown}: exact-match compatibility requires one single value")
    elif operator in ("exists", "!"):
        if texts:
            raise SelectorError(
                f"values: Invalid value: {shown}: values set must be empty for exists and does not exist"
            )
    elif operator in ("gt", "lt"):
        if len(texts) != 1:
            raise SelectorError(
                f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required"
            )
        if _integer(texts[0]) is None:
            raise SelectorError(
                f"values[0]: Invalid value: {show(texts[0])}: for 'Gt', 'Lt' operators, the value must be an integer"
            )
    for at, text in enumerate(texts):
        if problems := names.label_value(text):
            raise SelectorError(f"values[{at}][{key}]: Invalid value: {show(text)}: {'; '.join(problems)}")
    return Requirement(key, operator, texts)


# --- the text form -------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|=|!|\(|\)|,|>|<|[^ \t\r\n=!(),<>]+|\Z)")
_OPERATORS = {"=": "=", "==": "==", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_SYMBOLS = frozenset(("=", "==", "!=", "!", "(", ")", ",", ">", "<", ""))
_LONGEST = 65536


class _Reader:
    """The tokens of a selector, one at a time; `""` is the end."""

    def __init__(self, text: str) -> None:
        self._tokens: Iterator[str] = (match[1] for match in _TOKEN.finditer(text))
        self.next = next(self._tokens, "")

    def take(self) -> str:
        word = self.next
        self.next = next(self._tokens, "")
        return word


@lru_cache(maxsize=1024)
def labels(text: str) -> Selector:
    """The selector that `text` (`a=b,c in (d,e),!f`) means. Raises SelectorError."""
    if not text:
        return EVERYTHING
    if len(text) > _LONGEST:
        raise SelectorError(f"the selector may not be longer than {_LONGEST} characters")
    reader = _Reader(text)
    requirements: list[Requirement] = []
    while reader.next:
        if reader.next in _SYMBOLS and reader.next != "!":
            raise SelectorError(f"found '{reader.next}', expected: !, identifier, or 'end of string'")
        try:
            requirements.append(_read_requirement(reader))
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None
        word = reader.take()
        if not word:
            break
        if word != ",":
            raise SelectorError(f"found '{word}', expected: ',' or 'end of string'")
        if reader.next in _SYMBOLS and reader.next != "!":
            raise SelectorError(f"found '{reader.next}', expected: identifier after ','")
    return Selector(requirements)


def _read_requirement(reader: _Reader) -> Requirement:
    word = reader.take()
    negated = word == "!"
    key = reader.take() if negated else word
    if key in _SYMBOLS:
        raise SelectorError(f"found '{key}', expected: identifier")
    if problems := names.qualified_name(key):
        raise SelectorError(f"<nil>: Invalid value: {show(key)}: {'; '.join(problems)}")
    if reader.next in (",", ""):
        return requirement(key, "!" if negated else "exists", ())
    word = reader.take()
    operator = _OPERATORS.get(word)
    if operator is None or negated:
        raise SelectorError(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")
    if operator in ("in", "notin"):
        return requirement(key, operator, _read_values(reader))
    if reader.next in (",", ""):
        return requirement(key, operator, ("",))
    word = reader.take()
    if word in _SYMBOLS:
        raise SelectorError(f"found '{word}', expected: identifier")
    return requirement(key, operator, (word,))


def _read_values(reader: _Reader) -> list[str]:
    word = reader.take()
    if word != "(":
        raise SelectorError(f"found '{word}' expected: '('")
    if reader.next == ")":
        reader.take()
        return []
    if reader.next in _SYMBOLS and reader.next != ",":
        raise SelectorError(f"found '{reader.next}', expected: ',', ')' or identifier")
    values: list[str] = []
    while True:
        if reader.next in (",", ")"):
            values.append("")
        elif reader.next in _SYMBOLS:
            raise SelectorError(f"found '{reader.next}', expected: ',', or identifier")
        else:
            values.append(reader.take())
        word = reader.take()
        if word == ")":
            return values
        if word != ",":
            raise SelectorError(f"found '{word}', expected: ',' or ')'")


# --- the struct form -----------------------------------------------------------------------------------------------

_STRUCT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def label_selector(selector: meta_v1.LabelSelector | None) -> Selector:
    """The meaning of a LabelSelector: none selects nothing, an empty one everything. Raises SelectorError."""
    if selector is None:
        return NOTHING
    found = [requirement(key, "=", (value,)) for key, value in selector.matchLabels.items()]
    for expression in selector.matchExpressions:
        operator = _STRUCT_OPERATORS.get(expression.operator)
        if operator is None:
            raise SelectorError(f"{show(expression.operator)} is not a valid label selector operator")
        found.append(requirement(expression.key, operator, expression.values))
    return Selector(found)


def of_map(required: Mapping[str, str]) -> Selector:
    """The selector of a plain map, as Services and ReplicationControllers have; an empty map selects everything."""
    return Selector(Requirement(key, "=", (value,)) for key, value in required.items())


# --- field selectors -----------------------------------------------------------------------------------------------


class FieldTerm(NamedTuple):
    field: str
    equal: bool
    value: str


class FieldSelector(NamedTuple):
    terms: tuple[FieldTerm, ...]

    def matches(self, fields: Mapping[str, str]) -> bool:
        """`fields` gives the text of each selectable field; a missing one counts as empty."""
        return all((fields.get(term.field, "") == term.value) is term.equal for term in self.terms)

    def required(self, field: str) -> str | None:
        """The value that `field` must have, if the selector says so."""
        return next((term.value for term in self.terms if term.field == field and term.equal), None)

    def __str__(self) -> str:
        return ",".join(f"{t.field}{'=' if t.equal else '!='}{_escape(t.value)}" for t in self.terms)


_ESCAPED = re.compile(r"[\\,=]")


def _escape(text: str) -> str:
    return _ESCAPED.sub(r"\\\g<0>", text)


_FIELD_TERMS = re.compile(r"(?:[^\\,]|\\.|\\\Z)*", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"((?:[^\\=!]|\\.|!(?!=))*?)(!=|==|=)(.*)\Z", re.DOTALL)
_META_FIELDS = ("metadata.name", "metadata.namespace")


@lru_cache(maxsize=1024)
def fields(text: str) -> FieldSelector:
    """The selector that `text` (`spec.nodeName=a,status.phase!=Failed`) means. Raises SelectorError."""
    terms = []
    for part in _FIELD_TERMS.findall(text):
        if not part:
            continue
        match = _FIELD_OPERATOR.match(part)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(FieldTerm(match[1].strip(), match[2] != "!=", _unescape(match[3])))
    return FieldSelector(tuple(terms))


def check_fields(selector: FieldSelector, selectable: Iterable[str]) -> None:
    """Refuse fields that the kind does not offer besides its name and namespace. Raises SelectorError."""
    offered = tuple(selectable)
    for term in selector.terms:
        if term.field in _META_FIELDS or term.field in offered:
            continue
        if offered:
            raise SelectorError(f"field label not supported: {term.field}")
        known = ", ".join(show(name) for name in _META_FIELDS)
        raise SelectorError(f"{show(term.field)} is not a known field selector: only {known}")


def _unescape(text: str) -> str:
    out, escaped = [], False
    for letter in text:
        if escaped:
            if letter not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{letter}")
            out.append(letter)
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {letter}")
        else:
            out.append(letter)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)
