"""What an image says of itself, by ARG and ENV in every form; nothing here runs a container."""

from __future__ import annotations

import pytest

from sampan.images.build.errors import BuildError, DockerfileError
from tests.images_build.lab import FROM, Lab

pytestmark = pytest.mark.kernel


async def test_the_whole_configuration(lab: Lab) -> None:
    made = await lab.build(
        FROM
        + """ENV A=1 B="two words" C=$A
LABEL l.one=1 "l.two"="$B"
EXPOSE 80 53/udp 9000-9001
VOLUME /data
VOLUME ["/x y"]
WORKDIR /srv
WORKDIR app
USER web:extra
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=1500ms --retries=4 --start-period=1m CMD wget -q localhost
ENTRYPOINT ["/run"]
CMD ["--a", "$A"]
""",
        labels={"given": "yes"},
    )
    assert made.config == {
        "Env": ["PATH=/bin", "FROM=image", "A=1", "B=two words", "C="],
        "Labels": {"l.one": "1", "l.two": "two words", "given": "yes"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}, "9001/tcp": {}},
        "Volumes": {"/data": {}, "/x y": {}},
        "WorkingDir": "/srv/app",
        "User": "web:extra",
        "StopSignal": "SIGQUIT",
        "Healthcheck": {
            "Test": ["CMD-SHELL", "wget -q localhost"],
            "Interval": 5_000_000_000,
            "Timeout": 1_500_000_000,
            "StartPeriod": 60_000_000_000,
            "Retries": 4,
        },
        "Entrypoint": ["/run"],
        "Cmd": ["--a", "$A"],
    }


async def test_healthchecks_of_the_other_forms(lab: Lab) -> None:
    assert (await lab.build(FROM + "HEALTHCHECK NONE\n")).config["Healthcheck"] == {"Test": ["NONE"]}
    made = await lab.build(FROM + 'HEALTHCHECK CMD ["/check", "it"]\n')
    assert made.config["Healthcheck"] == {"Test": ["CMD", "/check", "it"]}


async def test_an_entrypoint_drops_an_inherited_command_alone(lab: Lab) -> None:
    await lab.build(FROM + "CMD inherited\n", names=("base:1",))
    assert "Cmd" not in (await lab.build("FROM base:1\nENTRYPOINT e\n")).config
    assert (await lab.build('FROM base:1\nCMD ["c"]\nENTRYPOINT e\n')).config["Cmd"] == ["c"]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("$A", "one/two.txt"), ("${A}", "one/two.txt"), ("${NO:-d}", "d"), ("${E:-d}", "d"), ("${E-d}", ""),
        ("${A:+s}", "s"), ("${E:+s}", ""), ("${E+s}", "s"), ("${A#*/}", "two.txt"), ("${A%.*}", "one/two"),
        ("${A##*o}", ".txt"), ("${A%%o*}", ""), ("${A/o/0}", "0ne/two.txt"), ("${A//o/0}", "0ne/tw0.txt"),
        ("\\$A", "$A"), ("'$A'", "$A"), ('"$A"', "one/two.txt"), ("${NO:-${A%/*}}", "one"),
        ("x${A}y", "xone/two.txty"),
    ],
)  # fmt: skip
async def test_substitution(lab: Lab, form: str, value: str) -> None:
    made = await lab.build(f"FROM scratch\nARG A=wrong\nARG E=\nLABEL v={form}\n", args={"A": "one/two.txt"})
    assert made.config["Labels"]["v"] == value


async def test_the_forms_of_which_a_missing_value_is_an_error(lab: Lab) -> None:
    with pytest.raises(DockerfileError, match="Dockerfile:2: .*VERSION.*give one"):
        await lab.build('FROM scratch\nLABEL v="${VERSION:?give one}"\n')


async def test_environment_wins_over_arguments(lab: Lab) -> None:
    made = await lab.build("FROM scratch\nENV A=env\nARG A=arg\nLABEL v=$A\n", args={"A": "given"})
    assert made.config["Labels"]["v"] == "env"
    assert made.config["Env"] == ["A=env"], "an argument leaves no trace"


async def test_an_argument_that_nobody_asks_for_is_told(lab: Lab) -> None:
    made = await lab.build("FROM scratch\nLABEL a=b\n", args={"VERSOIN": "1", "HTTP_PROXY": "x"})
    assert made.built.warnings == ("--build-arg VERSOIN: no ARG VERSOIN in Dockerfile",)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("EXPOSE http", "EXPOSE takes ports such as 80, 53/udp or 8000-8010, not 'http'"),
        ("EXPOSE 70000", "not '70000'"),
        ("STOPSIGNAL SIGNONE", "STOPSIGNAL takes a signal such as SIGTERM or 15, not 'SIGNONE'"),
        ("USER $NOBODY", "USER is empty: does its variable have a value?"),
        ("WORKDIR $NOWHERE", "WORKDIR is empty: does its variable have a value?"),
        ("LABEL a=${A", "${A"),
    ],
)
async def test_wrong_values_are_told_with_their_line(lab: Lab, line: str, wanted: str) -> None:
    with pytest.raises(BuildError) as caught:
        await lab.build(f"FROM scratch\nLABEL x=y\n{line}\n")
    assert wanted in str(caught.value) and str(caught.value).startswith("Dockerfile:3: ")
