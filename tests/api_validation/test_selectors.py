from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import selectors
from sampan.api.types import meta_v1

MATCHES = [
    ("", {}, True),
    ("a=b", {"a": "b"}, True),
    ("a==b", {"a": "c"}, False),
    ("a!=b", {}, True),
    ("a!=b", {"a": "b"}, False),
    ("a in (b,c)", {"a": "c"}, True),
    ("a in (b,c)", {}, False),
    ("a notin (b,c)", {}, True),
    ("a notin (b,c)", {"a": "b"}, False),
    ("a", {"a": ""}, True),
    ("!a", {"a": ""}, False),
    ("a>5", {"a": "6"}, True),
    ("a>5", {"a": "x"}, False),
    ("a<5", {"a": "4"}, True),
    ("a<5", {}, False),
    ("a=", {"a": ""}, True),
    ("a in (,)", {"a": ""}, True),
    (" a = b , c ", {"a": "b", "c": "1"}, True),
    ("a=in", {"a": "in"}, True),
    ("x.y/z=1", {"x.y/z": "1"}, True),
]


@pytest.mark.parametrize(("text", "labels", "expected"), MATCHES)
def test_matching(text: str, labels: dict[str, str], expected: bool) -> None:
    assert selectors.labels(text).matches(labels) is expected


TEXTS = [
    ("b,a=c", "a=c,b"),
    ("a in (z,y,z)", "a in (y,z)"),
    ("!a", "!a"),
    ("a == b", "a==b"),
    ("a > 3", "a>3"),
    ("a notin (b)", "a notin (b)"),
    ("a!=b", "a!=b"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_text_is_sorted_and_means_the_same(text: str, expected: str) -> None:
    selector = selectors.labels(text)
    assert str(selector) == expected
    assert selectors.labels(expected) == selector
    assert hash(selectors.labels(expected)) == hash(selector)


REFUSED = [
    ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("a in b", "unable to parse requirement: found 'b' expected: '('"),
    ("!a=b", "unable to parse requirement: found '=', expected: in, notin, =, ==, !=, gt, lt"),
    ("a,", "found '', expected: identifier after ','"),
    ("=", "found '=', expected: !, identifier, or 'end of string'"),
    ("a=b=c", "found '=', expected: ',' or 'end of string'"),
    ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
    ("a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
    ("a in (b,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
    ("a=(", "unable to parse requirement: found '(', expected: identifier"),
    ("!", "unable to parse requirement: found '', expected: identifier"),
    ("a in ()", "for 'in', 'notin' operators, values set can't be empty"),
    ("a>x", "for 'Gt', 'Lt' operators, the value must be an integer"),
    ("-x", '<nil>: Invalid value: "-x": name part must consist of'),
    ("a=-b", 'values[0][a]: Invalid value: "-b": a valid label must be'),
    ("a" * 70000, "may not be longer"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(selectors.SelectorError) as caught:
        selectors.labels(text)
    assert message in str(caught.value)


def test_struct() -> None:
    expression = meta_v1.LabelSelectorRequirement
    selector = selectors.label_selector(
        meta_v1.LabelSelector(
            matchLabels={"a": "b"},
            matchExpressions=(
                expression(key="c", operator="In", values=("d", "e")),
                expression(key="f", operator="DoesNotExist"),
                expression(key="g", operator="Exists"),
                expression(key="h", operator="NotIn", values=("i",)),
            ),
        )
    )
    assert str(selector) == "a=b,c in (d,e),!f,g,h notin (i)"
    assert selector.matches({"a": "b", "c": "d", "g": ""})
    assert not selector.matches({"a": "b", "c": "d", "g": "", "f": ""})


def test_no_struct_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selectors.label_selector(None).matches({})
    assert selectors.label_selector(meta_v1.LabelSelector()).matches({"a": "b"})
    assert selectors.label_selector(meta_v1.LabelSelector()).empty
    assert not selectors.NOTHING.empty
    assert selectors.of_map({"a": "b"}).matches({"a": "b", "c": "d"})


def test_struct_with_an_unknown_operator() -> None:
    wrong = meta_v1.LabelSelector(matchExpressions=(meta_v1.LabelSelectorRequirement(key="a", operator="Like"),))
    with pytest.raises(selectors.SelectorError, match='"Like" is not a valid label selector operator'):
        selectors.label_selector(wrong)
    wrong = meta_v1.LabelSelector(
        matchExpressions=(meta_v1.LabelSelectorRequirement(key="a", operator="Exists", values=("b",)),)
    )
    with pytest.raises(selectors.SelectorError, match="values set must be empty for exists and does not exist"):
        selectors.label_selector(wrong)


def test_fields() -> None:
    selector = selectors.fields("spec.nodeName=a,status.phase!=Failed,x==")
    assert selector.matches({"spec.nodeName": "a", "status.phase": "Running"})
    assert not selector.matches({"spec.nodeName": "a", "status.phase": "Failed"})
    assert not selector.matches({"spec.nodeName": "a", "x": "y"})
    assert selector.required("spec.nodeName") == "a"
    assert selector.required("status.phase") is None
    assert str(selector) == "spec.nodeName=a,status.phase!=Failed,x="
    assert selectors.fields("").matches({})


def test_field_values_are_escaped() -> None:
    selector = selectors.fields(r"a=b\,c\=d\\e")
    assert selector.terms[0].value == r"b,c=d\e"
    assert str(selector) == r"a=b\,c\=d\\e"
    for text, message in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\x", "invalid escape sequence"),
        ("a=b=c", "unescaped character in value"),
        ("a=b\\", "invalid escape sequence"),
    ]:
        with pytest.raises(selectors.SelectorError, match=message):
            selectors.fields(text)


def test_unknown_fields() -> None:
    selectors.check_fields(selectors.fields("metadata.name=a,status.phase=b"), ("status.phase",))
    with pytest.raises(selectors.SelectorError, match=r"^field label not supported: spec\.x$"):
        selectors.check_fields(selectors.fields("spec.x=a"), ("status.phase",))
    with pytest.raises(
        selectors.SelectorError, match=r'"spec\.x" is not a known field selector: only "metadata\.name"'
    ):
        selectors.check_fields(selectors.fields("spec.x=a"), ())


@given(st.text(alphabet="ab!=,()<> in\\'\u00e9", max_size=30))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        selector = selectors.labels(text)
    except selectors.SelectorError:
        pass
    else:
        assert selectors.labels(str(selector)) == selector
    try:
        selectors.fields(text).matches({})
    except selectors.SelectorError:
        pass
