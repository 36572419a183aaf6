"""What the machine trusts reaches RUNs, and neither the cache's key nor the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.images.build import certificates, commands, parse
from sampan.images.build.request import Request
from sampan.images.build.state import State

FILE = parse.parse("FROM scratch\n", "Dockerfile")


def machine(root: Path, *added: str) -> str:
    (root / "etc/ssl/certs").mkdir(parents=True)
    (root / "etc/ssl/certs/ca-certificates.crt").write_text("bundle")
    own = root / "usr/local/share/ca-certificates"
    own.mkdir(parents=True)
    for name in added:
        (own / name).write_text("authority")
    return str(root)


def test_the_systems_bundle_when_an_administrator_added_to_it(tmp_path: Path) -> None:
    assert certificates.of_machine({}, machine(tmp_path, "ours.crt")) == f"{tmp_path}/etc/ssl/certs/ca-certificates.crt"


def test_nothing_when_the_machine_trusts_what_everybody_does(tmp_path: Path) -> None:
    assert certificates.of_machine({}, machine(tmp_path)) == ""


def test_a_bundle_that_the_environment_names(tmp_path: Path) -> None:
    named = tmp_path / "named.crt"
    named.write_text("bundle")
    assert certificates.of_machine({"SSL_CERT_FILE": str(named)}, machine(tmp_path / "root")) == str(named)
    assert certificates.of_machine({"SSL_CERT_FILE": "/nowhere"}, str(tmp_path / "root")) == ""


@pytest.mark.parametrize("values", [{}, {"PIP_CERT": "/etc/mine.crt"}])
def test_the_image_wins_and_the_key_stays(values: dict[str, str]) -> None:
    state = State(config={"Env": [f"{name}={value}" for name, value in values.items()]})
    env = commands.environment(state, Request(FILE, "/", certificates="/bundle"))
    assert env["PIP_CERT"] == values.get("PIP_CERT", certificates.TARGET)
    assert env["SSL_CERT_FILE"] == certificates.TARGET
    without = commands.environment(state, Request(FILE, "/"))
    assert commands.counted(env, state) == commands.counted(without, state)
