from __future__ import annotations

import argparse

import pytest

from sampan.cli import main
from sampan.cli.context import CommandError
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import seconds


def parser(**how: bool) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="sampan verb")
    flags.set_up(made, **how)
    flags.output(made)
    flags.dry_run(made)
    made.add_argument("-i", "--stdin", action="store_true")
    made.add_argument("-t", "--tty", action="store_true")
    made.add_argument("--wait", action="store_true", default=True)
    return made


def test_flags_may_stand_anywhere() -> None:
    options = parser().parse_args(["pods", "-n", "x", "web", "-oyaml", "api", "--context=c"])
    assert (options.args, options.namespace, options.output, options.context) == (
        ["pods", "web", "api"],
        "x",
        "yaml",
        "c",
    )
    assert options.given == {"namespace", "output", "context"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], True), (["--wait"], True), (["--wait=false"], False), (["--wait=0"], False), (["--wait=T"], True)],
)
def test_booleans_take_a_value_after_an_equals_sign(words: list[str], expected: bool) -> None:
    assert parser().parse_args(words).wait is expected


def test_short_flags_may_be_joined() -> None:
    options = parser().parse_args(["-it", "-o=json", "pod"])
    assert (options.stdin, options.tty, options.output, options.args) == (True, True, "json", ["pod"])


def test_an_optional_value_never_eats_the_next_word() -> None:
    options = parser().parse_args(["--dry-run", "client"])
    assert (options.dry_run, options.args) == ("unchanged", ["client"])
    with pytest.raises(CommandError, match="Invalid dry-run value"):
        flags.check_dry_run(options)
    assert parser().parse_args(["--dry-run=server"]).dry_run == "server"


def test_what_follows_two_dashes_is_a_command() -> None:
    options = parser(rest=True).parse_args(["pod", "--", "sh", "-c", "ls -l"])
    assert (options.args, options.rest) == (["pod"], ["sh", "-c", "ls -l"])
    assert parser(rest=True).parse_args(["pod"]).rest is None
    assert parser().parse_args(["a", "--", "-b"]).args == ["a", "-b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "error: unknown flag: --foo"),
        (["--foo=1"], "error: unknown flag: --foo"),
        (["-z"], "error: unknown shorthand flag: 'z' in -z"),
        (["--output"], "error: flag needs an argument: --output"),
        (["--wait=maybe"], 'error: invalid argument "maybe" for "--wait" flag'),
    ],
)
def test_usage_errors_are_kubectls(words: list[str], message: str) -> None:
    with pytest.raises(CommandError) as caught:
        parser().parse_args(words)
    assert str(caught.value) == f"{message}\nSee 'sampan verb --help' for usage."
    assert caught.value.code == 1


def test_flags_may_stand_before_the_verb() -> None:
    assert main.command_first(["-n", "x", "get", "pods"]) == ["get", "-n", "x", "pods"]
    assert main.command_first(["--context=c", "get"]) == ["get", "--context=c"]
    assert main.command_first(["--version"]) == ["--version"]


def test_groups_find_their_member_among_the_flags() -> None:
    made = argparse.ArgumentParser(prog="sampan rollout")
    flags.set_up_group(made, {"status": flags.set_up, "undo": flags.set_up})
    options = made.parse_args(["-n", "x", "status", "deploy/web"])
    assert (options.member, options.args, options.namespace) == ("status", ["deploy/web"], "x")
    with pytest.raises(CommandError, match='unknown command "nope"'):
        made.parse_args(["nope"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("1m30s", 90), ("2h", 7200), ("250ms", 0.25), ("1.5s", 1.5), ("-1s", -1), ("0s", 0)],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1x", "s", "1m x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(CommandError, match="invalid duration"):
        seconds(text)
