from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.images.build import substitute

VALUES = {"a": "x", "empty": "", "p": "/usr/local/lib/x.tar.gz", "two": "1 2", "dash": "a-b-c"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$a", "x"),
        ("${a}", "x"),
        ("$ab", ""),
        ("${a}b", "xb"),
        ("$none", ""),
        ("\\$a", "$a"),
        ("'$a'", "$a"),
        ('"$a"', "x"),
        ('"\\$a \\" \\n"', '$a " \\n'),
        ("$", "$"),
        ("$/x", "$/x"),
        ("a\\ b", "a b"),
        ("${a:-d}", "x"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${none-d}", "d"),
        ("${none:-${a}y}", "xy"),
        ("${none:-${none2:-z}}", "z"),
        ("${none:-a b}", "a b"),
        ("${none:-'}'}", "}"),
        ('"${none:-"q"}"', "q"),
        ("${a:+set}", "set"),
        ("${empty:+set}", ""),
        ("${empty+set}", "set"),
        ("${none+set}", ""),
        ("${a:?never}", "x"),
        ("${empty?never}", ""),
        ("${p#*/}", "usr/local/lib/x.tar.gz"),
        ("${p##*/}", "x.tar.gz"),
        ("${p%.*}", "/usr/local/lib/x.tar"),
        ("${p%%.*}", "/usr/local/lib/x"),
        ("${p#nothing}", "/usr/local/lib/x.tar.gz"),
        ("${p%\\.gz}", "/usr/local/lib/x.tar"),
        ("${p#'*'}", "/usr/local/lib/x.tar.gz"),
        ("${p%%l*b}", "/usr/local/lib/x.tar.gz"),
        ("${dash/-/_}", "a_b-c"),
        ("${dash//-/_}", "a_b_c"),
        ("${dash//-}", "abc"),
        ("${dash/?-/${a}}", "xb-c"),
        ("${none#x}", ""),
        ("$1$@x", "x"),
    ],
)
def test_every_form_of_a_variable(text: str, expected: str) -> None:
    assert substitute.word(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${a", "'}'"),
        ("${a:-b", "'}'"),
        ("${", "name"),
        ("${}", "name"),
        ("${a!}", "modifier"),
        ("${a:x}", "modifier"),
        ("'a", "add the missing '"),
        ('"a', 'add the missing "'),
        ("${none:?give it}", "none: give it"),
        ("${none?}", "none: it is not set"),
        ("${x:-" * 100 + "}" * 100, "too deep"),
    ],
)
def test_what_is_wrong_with_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="."):
        substitute.word(text, VALUES)
    try:
        substitute.word(text, VALUES)
    except ValueError as error:
        assert says in str(error)


def test_words_split_at_blanks_that_nobody_quoted() -> None:
    assert substitute.words('80 $two "$two" a\\ b \'\' ""x', VALUES) == ["80", "1", "2", "1 2", "a b", "", "x"]
    assert substitute.words("", VALUES) == []


def test_raw_words_keep_their_quotes() -> None:
    assert substitute.raw_words("a='b c' \"d e\"f g\\ h") == ["a='b c'", '"d e"f', "g\\ h"]


def test_a_backtick_escapes_where_it_was_asked_for() -> None:
    assert substitute.word("C:\\x`$a$a", VALUES, "`") == "C:\\x$ax"


ALPHABET = st.text(alphabet="ab$\\{}'\"#%/:-+? *", max_size=30)


@given(ALPHABET)
def test_any_text_gives_words_or_a_reason(text: str) -> None:
    for function in (substitute.word, substitute.words):
        try:
            function(text, VALUES)
        except ValueError as error:
            assert str(error)


@given(st.text(alphabet="abc/.*?-", max_size=20), st.sampled_from("abc/."))
def test_longest_and_shortest_ends_agree_with_the_definition(value: str, mark: str) -> None:
    values = {"v": value, "m": mark}
    assert substitute.word("${v##*${m}}", values) == value.rpartition(mark)[2]
    assert substitute.word("${v%%'" + mark + "'*}", values) == value.partition(mark)[0]
