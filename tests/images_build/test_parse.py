from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.images.build import parse
from sampan.images.build.errors import DockerfileError
from sampan.images.build.instructions import Dockerfile, Instruction

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"


def plain(value: Any) -> Any:
    """Without the fields that have their defaults, so that golden files show what was said."""
    if isinstance(value, Dockerfile):
        fields = {"arguments": value.arguments, "escape": value.escape, "syntax": value.syntax}
        stages = [{"from": plain(stage.from_), "steps": list(map(plain, stage.instructions))} for stage in value.stages]
        return {**{k: plain(v) for k, v in fields.items() if v}, "stages": stages}
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        kept = {
            name: plain(getattr(value, name))
            for name, field in value.__dataclass_fields__.items()
            if name != "text" and getattr(value, name) != field.default
        }
        return {type(value).__name__: kept} if isinstance(value, Instruction) else kept
    return value


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_files_and_what_they_mean(path: Path, pytestconfig: pytest.Config) -> None:
    made = parse.parse(path.read_bytes().decode(), path.name)
    text = msgspec.json.format(msgspec.json.encode(plain(made)), indent=1).decode() + "\n"
    expected = path.with_suffix(".json")
    if pytestconfig.getoption("--update"):
        expected.write_text(text)
    assert text == expected.read_text()


def test_every_mistake_is_explained(pytestconfig: pytest.Config) -> None:
    said = []
    for text in (HERE / "errors.txt").read_text().split("---\n"):
        with pytest.raises(DockerfileError) as caught:
            parse.parse(text)
        said.append(f"{text}--> {caught.value}\n")
    expected = GOLDEN / "errors.txt"
    if pytestconfig.getoption("--update"):
        expected.write_text("---\n".join(said))
    assert "---\n".join(said) == expected.read_text()


def test_a_binary_file_is_no_dockerfile() -> None:
    with pytest.raises(DockerfileError, match="x:2: a NUL character; is this a text file"):
        parse.parse("FROM a\n\0", "x")


def test_a_trigger_of_onbuild_is_read_later_with_its_documents() -> None:
    made = parse.parse("FROM a\nONBUILD COPY <<x /y\nbody\nx\n")
    later = parse.trigger(made.stages[0].instructions[0].trigger, "base")  # type: ignore[attr-defined]
    assert later.heredocs[0].content == "body\n"  # type: ignore[attr-defined]


PIECES = st.sampled_from([
    "FROM ", "RUN ", "COPY ", "ADD ", "ENV ", "ARG ", "LABEL ", "ONBUILD ", "CMD ", "HEALTHCHECK ", "USER ", "EXPOSE ",
    "a", "b=c", '"', "'", "\\", "\\\n", "\n", " ", "\t", "<<EOF", "EOF", "<<-'X'", "X", "[", '["a"]', "]", "--from=x",
    "--mount=type=cache,target=/x", "--mount=", "--", "#", "# escape=`", "`", "$", "${", "}", "${a:-b}", ",", "=", "\r",
    "/", "as", " AS ", "scratch", "CMD x", "--interval=1s", "é", "\ufeff", "\u2028", "\x0b",
])  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=40).map("".join)))
def test_any_text_is_understood_or_refused_with_a_line(text: str) -> None:
    try:
        made = parse.parse(text, "F")
    except DockerfileError as error:
        assert error.line >= 1 and str(error).startswith("F:")
    else:
        assert made.stages
        for stage in made.stages:
            assert all(each.line > stage.from_.line for each in stage.instructions)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_what_follows_from_is_never_another_kind_of_error(text: str) -> None:
    try:
        parse.parse("FROM scratch\n" + text)
    except DockerfileError as error:
        assert str(error)
