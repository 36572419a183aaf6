"""Stages: which are built, that they run side by side, what they lend each other; ONBUILD and platforms."""

from __future__ import annotations

import platform

import pytest

from sampan.images.build import graph
from sampan.images.build.errors import BuildError, DockerfileError, StepFailed
from tests.images_build.lab import BASE, FROM, Lab

pytestmark = pytest.mark.kernel

MEET = (
    "RUN --mount=type=cache,id=meet,target=/m touch /m/{me}; i=0; "
    "until [ -e /m/{other} ]; do i=$((i+1)); [ $i -lt 600 ] || exit 9; sleep 0.05; done\n"
)


async def test_only_stages_that_are_needed_are_built(lab: Lab) -> None:
    text = f"FROM {BASE} AS unused\nRUN false\nFROM {BASE} AS used\nRUN echo > /data/u\nFROM used\nRUN echo > /data/v\n"
    made = await lab.build(text)
    assert len(made.layers) == 3 and "unused" not in lab.said.getvalue()
    with pytest.raises(StepFailed, match=r"Dockerfile:2: RUN false: exit code 1"):
        await lab.build(text, target="unused")
    assert len((await lab.build(text, target="1")).layers) == 2
    with pytest.raises(BuildError, match=r"Dockerfile has no stage usde; did you mean used\?"):
        await lab.build(text, target="usde")


async def test_stages_that_do_not_need_each_other_run_at_once(lab: Lab) -> None:
    """Each waits for a file that the other makes."""
    text = f"FROM {BASE} AS a\n{MEET.format(me='a', other='b')}FROM {BASE} AS b\n{MEET.format(me='b', other='a')}"
    await lab.build(text + "FROM scratch\nCOPY --from=a /etc /a\nCOPY --from=b /etc /b\n", at_once=2)


async def test_a_failure_ends_the_other_stages(lab: Lab) -> None:
    wait = "RUN --mount=type=cache,id=x,target=/m touch /m/up; sleep 1000\n"
    fail = "RUN --mount=type=cache,id=x,target=/m until [ -e /m/up ]; do sleep 0.05; done; exit 3\n"
    with pytest.raises(StepFailed, match=r"Dockerfile:4: .*exit code 3"):
        await lab.build(f"FROM {BASE} AS a\n{wait}FROM {BASE} AS b\n{fail}FROM a\nCOPY --from=b /etc /b\n", at_once=2)


async def test_a_stage_takes_over_settings_but_no_arguments(lab: Lab) -> None:
    made = await lab.build(
        f"ARG V=outer\nFROM {BASE} AS a\nARG V\nARG W=inner\nENV E=$V-$W\nUSER web\nCMD a\n"
        "FROM a\nARG W\nENV F=$E-${W:-none}\nRUN echo $F > /tmp/f\n"
    )
    assert made.read("tmp/f") == "outer-inner-none\n"
    assert made.config["User"] == "web" and made.config["Cmd"] == ["/bin/sh", "-c", "a"]


async def test_triggers_run_in_who_builds_on_it(lab: Lab) -> None:
    lab.write({"app/x": "1"})
    base = await lab.build(
        FROM + "ONBUILD COPY app /app\nONBUILD RUN cat /app/x > /data/seen\nONBUILD ENV FROM_BASE=yes\n",
        names=("on:1",),
    )
    assert len(base.layers) == 1 and len(base.config["OnBuild"]) == 3
    made = await lab.build("FROM on:1\nRUN cp /data/seen /data/later\n")
    assert made.read("data/later") == "1" and "FROM_BASE=yes" in made.config["Env"]
    assert not made.config.get("OnBuild")
    (lab.context / "app/x").unlink()
    (lab.context / "app").rmdir()
    with pytest.raises(DockerfileError, match="app is not in the build context"):
        await lab.build("FROM on:1\n")


async def test_platforms(lab: Lab) -> None:
    ours = graph.platform_arguments()
    made = await lab.build(
        f"FROM --platform=$BUILDPLATFORM {BASE}\nARG TARGETARCH\nARG TARGETPLATFORM\n"
        "RUN echo $TARGETPLATFORM $TARGETARCH > /data/p\n"
    )
    assert made.read("data/p").split() == [ours["BUILDPLATFORM"], ours["BUILDARCH"]]
    assert (made.document["os"], made.document["architecture"]) == ("linux", ours["BUILDARCH"])
    other = "arm64" if platform.machine() == "x86_64" else "amd64"
    with pytest.raises(
        DockerfileError, match=f"Dockerfile:1: cannot build for linux/{other} on linux/.*leave --platform"
    ):
        await lab.build(f"FROM --platform=linux/{other} {BASE}\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("FROM absent.test/x:1\n", "Dockerfile:1: "),
        (
            "FROM $NOTHING\n",
            "Dockerfile:1: $NOTHING is empty; give it a value with --build-arg or a default in its ARG",
        ),
        (FROM + "COPY --from=later /x /y\nFROM scratch AS later\n", "Dockerfile:2: "),
        (
            f"FROM {BASE} AS a\nCOPY --from=b /x /y\nFROM a AS b\nCOPY --from=a /z /z\n",
            "Dockerfile:2: the stage b does",
        ),
    ],
)
async def test_origins_that_are_not_there(lab: Lab, text: str, wanted: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        await lab.build(text, target="0" if "later" in text else "")
    assert str(caught.value).startswith(wanted)
