from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.images.build import ignore
from sampan.images.build.errors import DockerfileError

TEXT = """
# comment
*.log
/build
node_modules/
**/*.pyc
docs/**
!docs/README.md
temp?
a/b
**/secret/**
x[0-9]
y[^a]
../outside
sp ace
"""


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("x.log", True),
        ("d/x.log", False),
        ("build", True),
        ("build/x/y", True),
        ("d/build", False),
        ("node_modules/a/b", True),
        ("a.pyc", True),
        ("d/e/a.pyc", True),
        ("docs/x", True),
        ("docs/README.md", False),
        ("docs", False),
        ("temp1", True),
        ("temp12", False),
        ("temp/", False),
        ("a/b/c", True),
        ("a/bc", False),
        ("d/secret/x", True),
        ("x5", True),
        ("xa", False),
        ("yb", True),
        ("ya", False),
        ("outside", True),
        ("sp ace", True),
    ],
)
def test_the_last_pattern_that_fits_decides(path: str, ignored: bool) -> None:
    assert ignore.parse(TEXT)(path) is ignored


def test_everything_but() -> None:
    rules = ignore.parse("*\n!src\nsrc/*.tmp")
    assert rules("x") and not rules("src/a") and rules("src/a.tmp")
    assert not rules.prunes("src") and rules.prunes("other")


def test_a_directory_is_looked_into_when_an_exception_may_be_below() -> None:
    assert not ignore.parse("a\n!**/keep").prunes("a")
    assert not ignore.parse("a\n!a/b/c").prunes("a")
    assert ignore.parse("a\n!b/c").prunes("a")
    assert ignore.parse("a").prunes("a")


def test_dot_ignores_nothing() -> None:
    assert not ignore.parse(".")("x")


@pytest.mark.parametrize("line", ["a[", "a[z-a]", "x\\", "!"])
def test_bad_patterns_name_their_line(line: str) -> None:
    with pytest.raises(DockerfileError, match=r"^\.dockerignore:2: "):
        ignore.parse(f"ok\n{line}")


@given(st.text(alphabet="ab*?/[]^!\\-.{}()|+$", max_size=20), st.text(alphabet="ab/.", max_size=12))
def test_any_text_is_rules_or_refused(text: str, path: str) -> None:
    try:
        rules = ignore.parse(text)
    except DockerfileError:
        return
    if rules(path) and rules.prunes(path):
        assert rules(f"{path}/below")
