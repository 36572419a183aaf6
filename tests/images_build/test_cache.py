"""What is done again and what is not; and that the same source makes the same image, to the byte."""

from __future__ import annotations

import os

import pytest

from tests.images_build.lab import BASE, FROM, Lab, Made

pytestmark = pytest.mark.kernel

TEXT = FROM + "ARG V=1\nCOPY src /src\nRUN cat /src/* > /data/all; date +%N > /data/when\nRUN echo $V > /data/v\n"


def fresh(made: Made) -> int:
    """Steps that were done."""
    return made.built.steps - made.built.cached


async def test_nothing_changed(lab: Lab) -> None:
    lab.write({"src/a": "1", "other": "x"})
    first, again = await lab.build(TEXT), await lab.build(TEXT)
    assert fresh(first) == 3 and fresh(again) == 0 and again.built.id == first.built.id
    assert lab.said.getvalue().count("  cached") == 3


async def test_content_counts_and_time_does_not(lab: Lab) -> None:
    lab.write({"src/a": "1", "other": "x"})
    first = await lab.build(TEXT)
    os.utime(lab.context / "src/a", (1, 1))
    lab.write({"other": "changed", "src/a": "1"})
    assert fresh(await lab.build(TEXT)) == 0
    status = os.stat(lab.context / "src/a")
    lab.write({"src/a": "2"})
    os.utime(lab.context / "src/a", ns=(status.st_atime_ns, status.st_mtime_ns))
    made = await lab.build(TEXT)
    assert fresh(made) == 3 and made.read("data/all") == "2", "the same size and time, another content"
    lab.write({"src/a": "1"})
    back = await lab.build(TEXT)
    assert fresh(back) == 0 and back.built.id == first.built.id
    os.chmod(lab.context / "src/a", 0o755)
    assert fresh(await lab.build(TEXT)) == 3
    os.rename(lab.context / "src/a", lab.context / "src/b")
    assert fresh(await lab.build(TEXT)) == 3


async def test_an_argument_counts_where_it_is_seen(lab: Lab) -> None:
    lab.write({"src/a": "1"})
    await lab.build(TEXT)
    made = await lab.build(TEXT, args={"V": "2"})
    assert made.read("data/v") == "2\n" and fresh(made) == 2, "every RUN behind ARG sees it"
    late = FROM + "RUN date +%N > /data/when\nARG V\nRUN echo $V > /data/v\n"
    await lab.build(late, args={"V": "1"})
    assert fresh(await lab.build(late, args={"V": "2"})) == 1


async def test_a_base_counts_by_its_layers(lab: Lab) -> None:
    await lab.build(FROM + "RUN echo 1 > /data/base\n", names=("base:1",))
    text = "FROM base:1\nRUN cp /data/base /data/copy\n"
    assert fresh(await lab.build(text)) == 1 and fresh(await lab.build(text)) == 0
    await lab.build(FROM + "RUN echo 2 > /data/base\n", names=("base:1",))
    made = await lab.build(text)
    assert fresh(made) == 1 and made.read("data/copy") == "2\n"


async def test_copies_from_a_stage_count_by_what_is_copied(lab: Lab) -> None:
    first = f"FROM {BASE} AS b\nARG N\nRUN echo $N > /data/n && echo same > /data/s\n"
    text = first + "FROM scratch\nCOPY --from=b /data/s /s\n"
    await lab.build(text, args={"N": "1"})
    assert fresh(await lab.build(text, args={"N": "2"})) == 1


async def test_everything_again_when_asked_for(lab: Lab) -> None:
    lab.write({"src/a": "1"})
    first = await lab.build(TEXT)
    assert fresh(await lab.build(TEXT, no_cache=True)) == 3
    assert fresh(await lab.build(TEXT)) == 0
    assert first.built.steps == 5


async def test_the_cache_outlives_its_image(lab: Lab) -> None:
    lab.write({"src/a": "1"})
    first = await lab.build(TEXT)
    await lab.store.remove(first.built.id)
    await lab.store.collect()
    assert fresh(await lab.build(TEXT)) == 0


async def test_the_same_source_is_the_same_image(lab: Lab) -> None:
    """Done twice for real; only what runs may bring something new, and here it does not."""
    lab.write({"d/b": "2", "d/a": "1"})
    text = (
        FROM
        + "COPY d /d\nWORKDIR /w\nRUN echo x > /data/f; mkdir -p /data/q; touch /data/q/z /data/q/y; ln -s f /data/l\n"
    )
    environ = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = await lab.build(text, environ=environ)
    os.utime(lab.context / "d/a", (5, 5))
    again = await lab.build(text, environ=environ, no_cache=True)
    assert (first.built.id, first.built.manifest) == (again.built.id, again.built.manifest)
    assert first.document["created"] == "2023-11-14T22:13:20Z"
    assert {entry.get("created") for entry in first.document["history"][1:]} <= {"2023-11-14T22:13:20Z"}
    assert int(first.status("data/f").st_mtime) == 1_700_000_000 == int(first.status("d/a").st_mtime)
    other = await lab.build(text, environ={"SOURCE_DATE_EPOCH": "1700000001"})
    assert other.built.id != first.built.id


async def test_what_dockerignore_leaves_out_is_not_there_and_does_not_count(lab: Lab) -> None:
    lab.write({".dockerignore": "*.log\nsecret\n!keep.log\n", "a": "1", "x.log": "", "keep.log": "", "secret/key": "s"})
    made = await lab.build("FROM scratch\nCOPY . /\n")
    assert sorted(os.listdir(made.top)) == [".dockerignore", "a", "keep.log"]
    lab.write({"x.log": "more", "secret/key": "other"})
    assert fresh(await lab.build("FROM scratch\nCOPY . /\n")) == 0
    lab.write({"keep.log": "more"})
    assert fresh(await lab.build("FROM scratch\nCOPY . /\n")) == 1
