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


def test_what_ends_has_no_port() -> None:
    made = guess.guess({"schedule": "@daily", "source": {"image": "web"}}, name="web", ports=("80",))
    assert made.spec == {"type": "cron"}
