"""Guesses: what is guessed, why, and that nothing which was decided is touched."""

from __future__ import annotations

import pytest

from sampan.delivery import guess


@pytest.mark.parametrize(
    ("text", "name"),
    [("Guest_Book", "guest-book"), ("2048 game", "game"), ("a" * 60, "a" * 40), ("__", ""), ("web", "web")],
)
def test_names_of_folders(text: str, name: str) -> None:
    assert guess.app_name(text) == name


@pytest.mark.parametrize("text", ["web", "web:1", "registry:5000/team/web:1", "x/web@sha256:00", "Web"])
def test_names_of_images(text: str) -> None:
    assert guess.of_image(text) == "web"


def test_a_web_application() -> None:
    made = guess.guess({"source": {"image": "web"}}, name="web", ports=("9000/tcp", "8000/tcp", "53/udp"))
    assert made.spec == {"port": 8000, "host": "web.localhost"}
    assert len(made.said) == 2


def test_a_database() -> None:
    made = guess.guess({"source": {"image": "docker.io/library/mariadb:11"}}, name="db", volumes=("/var/lib/mysql",))
    assert made.spec == {"type": "stateful", "volumes": [{"path": "/var/lib/mysql"}], "port": 3306}


def test_what_is_decided_stays() -> None:
    given = {"source": {"image": "web"}, "port": 1, "host": None, "type": "stateless", "volumes": []}
    assert guess.guess(given, name="web", ports=("80",), volumes=("/data",)).spec == {}


@pytest.mark.parametrize(
    ("spec", "command", "env", "why"),
    [
        ({}, ("gunicorn", "server:app"), (), "it runs gunicorn"),
        ({}, ("/bin/sh", "-c", "exec /venv/bin/python3.12 main.py"), (), "it runs python3.12"),
        ({}, ("/entrypoint",), ("PATH=/bin", "PYTHON_VERSION=3.13"), "its image sets PYTHON_VERSION"),
        ({"command": ["uvicorn", "main:app"]}, ("nginx",), (), "it runs uvicorn"),
    ],
)
def test_a_program_in_python_is_traced(spec: dict, command: tuple, env: tuple, why: str) -> None:
    made = guess.guess({"source": {"image": "web"}, **spec}, name="web", command=command, env=env)
    assert made.spec["instrument"] == "python"
    assert f"traces by OpenTelemetry's packages for Python, because {why} (--instrument none)" in made.said


@pytest.mark.parametrize("command", [("node", "server.js"), ("/opt/pythonic",), ("sh", "-c", "exec ruby x"), ()])
def test_other_programs_are_not(command: tuple) -> None:
    assert "instrument" not in guess.guess({"source": {"image": "web"}}, name="web", command=command).spec


def test_whoever_wants_no_traces_gets_none() -> None:
    given = {"source": {"image": "web"}, "instrument": "none"}
    assert "instrument" not in guess.guess(given, name="web", command=("python", "main.py")).spec


def test_what_ends_has_no_port() -> None:
    made = guess.guess({"schedule": "@daily", "source": {"image": "web"}}, name="web", ports=("80",))
    assert made.spec == {"type": "cron"}
