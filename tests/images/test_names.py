"""References and credentials: parsed, normalised, matched."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sampan.host.containers import ImageFailure
from sampan.images import credentials, reference
from sampan.images.pull import Registries

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app:latest"),
        ("index.docker.io/team/app", "docker.io/team/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("ghcr.io/a/b_c/d__e-f:X.y-Z_1", "ghcr.io/a/b_c/d__e-f:X.y-Z_1"),
        (f"nginx@sha256:{HEX}", f"docker.io/library/nginx@sha256:{HEX}"),
        (f"nginx:1@sha256:{HEX}", f"docker.io/library/nginx:1@sha256:{HEX}"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("Registry/app", "Registry/app:latest"),
    ],
)
def test_references(text: str, expected: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == expected and reference.parse(expected) == parsed


@pytest.mark.parametrize(
    "text",
    ["", ":", "a:", "a b", "Nginx", "team/App", "a//b", "/a", "a/", "a:tag!", "a@sha256:12", f"a@sha256:{'A' * 64}",
     HEX, "-a", "a..b", "http://a/b", f"a:{'t' * 129}", "a/" + "b" * 260, "a@md5:1", "ünïcode"],
)  # fmt: skip
def test_references_that_are_refused(text: str) -> None:
    with pytest.raises(ImageFailure, match="couldn't parse image name") as raised:
        reference.parse(text)
    assert raised.value.reason == "InvalidImageName"


@given(text=some.text(alphabet="aA0.-_:/@[] \nsha256", max_size=40))
def test_any_reference(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except ImageFailure:
        return
    assert reference.parse(str(parsed)) == parsed


def secret(**auths: object) -> bytes:
    return json.dumps({"auths": {key.replace("__", "/"): value for key, value in auths.items()}}).encode()


def entry(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_credentials() -> None:
    found = reference.parse("ghcr.io/team/app")
    document = json.dumps({
        "auths": {
            "ghcr.io": entry("all", "1"),
            "https://ghcr.io/team": entry("team", "2"),
            "ghcr.io/team/app/": {"username": "app", "password": "3"},
            "ghcr.io/other": entry("other", "4"),
            "*.io": entry("stars", "5"),
            "ghcr.io:443": entry("port", "6"),
            "broken.io": {"auth": "!"},
        }
    }).encode()  # fmt: skip
    assert credentials.lookup([document, document], found) == [
        ("app", "3"),
        ("team", "2"),
        ("all", "1"),
        ("stars", "5"),
    ]
    bare = json.dumps({"ghcr.io": entry("old", "form:with:colons")}).encode()
    assert credentials.lookup([b"{", b"[]", b'{"auths": 1}', bare], found) == [("old", "form:with:colons")]


def test_docker_hub_has_several_names() -> None:
    for name in ("docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"):
        document = json.dumps({"auths": {name: entry("me", "x")}}).encode()
        assert credentials.lookup([document], reference.parse("nginx")) == [("me", "x")]


def test_endpoints() -> None:
    registries = Registries({"docker.io": ("https://mirror/",)}, frozenset({"plain:80"}))
    assert registries.endpoints("docker.io") == ["https://mirror", "https://registry-1.docker.io"]
    assert registries.endpoints("plain:80") == ["http://plain:80"]
    assert registries.endpoints("localhost:5000") == ["https://localhost:5000", "http://localhost:5000"]
    assert registries.endpoints("127.0.0.1") == ["https://127.0.0.1", "http://127.0.0.1"]
    assert registries.endpoints("ghcr.io") == ["https://ghcr.io"]
