"""Objects to nginx.conf: golden pairs `X.input.yaml`, `X.output.conf`; `--update` rewrites the latter."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from sampan.api.types import core_v1, networking_v1
from sampan.network.ingress.compute import compute, references, services_of
from sampan.network.ingress.model import Listen, Model
from sampan.network.ingress.nginx import SEARCH
from sampan.network.ingress.render import Frame, owner, render
from tests.network_ingress import manifests
from tests.network_ingress.manifests import ingress, objects

GOLDEN = Path(__file__).parent / "golden"
PAIRS = sorted(GOLDEN.glob("*.input.yaml"))
FRAME = Frame(Path("/run/golden"), Path("/var/log/golden.log"), Listen(), resolver="10.96.0.10")


def text(model: Model, frame: Frame = FRAME) -> str:
    return render(model, frame, {host: f"{host or 'fallback'}.pem" for host in model.local})


def changing(text: str) -> str:
    """Without what is the same for all."""
    lines = re.sub("leaving-[0-9a-f]{12}", "leaving-DIGEST", text).splitlines()
    return "\n".join(lines[lines.index("    resolver 10.96.0.10 valid=5s ipv6=off;") + 1 : -1])


def shown(model: Model) -> str:
    problems = [f"# {name}: {problem}" for name, problem in model.problems]
    return "\n".join([*problems, changing(text(model))]) + "\n"


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.name.partition(".")[0])
def test_golden(path: Path, pytestconfig: pytest.Config) -> None:
    made, golden = (
        shown(compute(objects(path.read_text()))),
        path.with_name(path.name.replace("input.yaml", "output.conf")),
    )
    if pytestconfig.getoption("--update"):
        golden.write_text(made)
    assert made == golden.read_text(), f"run pytest --update when {golden.name} should change"


def accepts(made: str, directory: Path) -> str:
    """What nginx says about a configuration, "" when it takes it."""
    program = shutil.which("nginx", path=SEARCH)
    if program is None:
        pytest.skip("nginx is not installed")
    (directory / "temp").mkdir(exist_ok=True)
    (directory / "files").mkdir(exist_ok=True)
    (directory / "nginx.conf").write_text(made)
    command = [program, "-t", "-q", "-e", str(directory / "log"), "-c", str(directory / "nginx.conf")]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.name.partition(".")[0])
def test_nginx_takes_what_is_written(path: Path, tmp_path: Path) -> None:
    model = compute(objects(path.read_text()))
    frame = Frame(tmp_path, tmp_path / "log", Listen(18080, 18443), "root root", resolver="127.0.0.1")
    chain, key = manifests.pair()
    (tmp_path / "files").mkdir()
    for host in model.local:
        (tmp_path / "files" / f"{host or 'fallback'}.pem").write_bytes(chain + key)
    assert accepts(text(model, frame), tmp_path) == ""


def test_no_order_of_the_input_matters() -> None:
    many = [
        ingress(name, ("x.localhost", f"/{name}", "Prefix", "a"), annotations={"use-regex": "true"}) for name in "abc"
    ]
    assert text(compute(objects("", *many))) == text(compute(objects("", *many[::-1])))


def test_of_two_the_older_has_the_path() -> None:
    old = ingress("z", ("x.localhost", "/", "Prefix", "a"), created="2027-01-15T08:00:00Z")
    new = ingress("a", ("x.localhost", "/", "Prefix", "b"), created="2027-01-15T08:00:01Z")
    model = compute(objects("", new, old))
    (location,) = model.servers[0].locations
    assert location.owner == "default/z"
    assert ("default/a", "x.localhost/ belongs to the older Ingress default/z already") in model.problems


def test_the_old_annotation_names_the_class() -> None:
    made = ingress("a", ("x.localhost", "/", "Prefix", "a"), class_=None)
    made.metadata.annotations["kubernetes.io/ingress.class"] = "sampan"  # type: ignore[index]
    assert compute(objects("", made)).served == ("default/a",)


def test_an_ingress_that_names_no_class_is_not_ours() -> None:
    assert compute(objects("", ingress("a", ("x.localhost", "/", "Prefix", "a"), class_=None))).served == ()


def test_what_nginx_refused_is_left_out() -> None:
    wrong, right = (ingress(name, (f"{name}.localhost", "/", "Prefix", "a")) for name in ("wrong", "right"))
    model = compute(replace(objects("", wrong, right), refused={"default/wrong": "it said so"}))
    assert [each.host for each in model.servers] == ["right.localhost", ""]
    assert ("default/wrong", "nginx does not take it: it said so") in model.problems


def test_a_range_that_is_not_understood_lets_nobody_in() -> None:
    wrong = {"whitelist-source-range": "10.0.0.0/8, everybody"}
    made = ingress("mine", ("x.localhost", "/", "Prefix", "a"), annotations=wrong)
    assert "proxy_pass" not in text(compute(objects("", made)))


def test_a_line_leads_to_its_ingress() -> None:
    made = text(compute(objects("", ingress("mine", ("x.localhost", "/foo", "Prefix", "a")))))
    lines = made.splitlines()
    inside = next(at for at, line in enumerate(lines, 1) if "proxy_pass" in line)
    assert owner(made, inside) == "default/mine"
    head = next(at for at, line in enumerate(lines, 1) if "location" in line)
    assert owner(made, head) == "default/mine"
    assert owner(made, lines.index("http {") + 1) == ""


def test_nobody_blames_another() -> None:
    path = "/x{ # ingress default/victim"
    made = text(compute(objects("", ingress("evil", ("x.localhost", path, "Exact", "a")))))
    assert owner(made, next(at for at, line in enumerate(made.splitlines(), 1) if "victim" in line)) == "default/evil"


def test_what_an_ingress_names() -> None:
    made = ingress(
        "a",
        ("x.localhost", "/", "Prefix", "web"),
        annotations={"auth-type": "basic", "auth-secret": "users", "custom-headers": "default/headers"},
        tls=(networking_v1.IngressTLS(hosts=("x.localhost",), secretName="crt"),),
        default="other",
    )
    assert {key for _, key in references(made)} == {("default", "crt"), ("default", "users"), ("default", "headers")}
    assert set(services_of(made)) == {("default", "web"), ("default", "other")}


# --- certificates


def secure(secret: str | None, *hosts: str) -> networking_v1.Ingress:
    tls = (networking_v1.IngressTLS(hosts=hosts, secretName=secret),)
    return ingress("s", ("a.example.com", "/", "Prefix", "a"), tls=tls)


@pytest.mark.parametrize("hosts", [("a.example.com",), ("*.example.com",), ("A.Example.com",), ()])
def test_the_secrets_certificate_is_shown(hosts: tuple[str, ...]) -> None:
    model = compute(objects("", secure("crt", *hosts), manifests.tls_secret("crt")))
    server = model.servers[0]
    assert dict(model.files)[server.certificate].startswith(b"-----BEGIN CERTIFICATE-----")
    assert model.local == ("",)


@pytest.mark.parametrize("hosts", [("b.example.com",), ("*.com",), ("*.a.example.com",)])
def test_a_certificate_for_other_hosts_is_not(hosts: tuple[str, ...]) -> None:
    model = compute(objects("", secure("crt", *hosts), manifests.tls_secret("crt")))
    assert model.servers[0].certificate == "local/a.example.com"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"tls_crt": b"nonsense"}, "its tls.crt is no certificate in PEM"),
        ({"tls_key": b"nonsense"}, "its tls.key is no private key in PEM without a password"),
        ({"tls_key": manifests.pair("other")[1]}, "its tls.key does not belong to its tls.crt"),
    ],
)
def test_a_wrong_secret_is_told_and_replaced(data: dict[str, bytes], why: str) -> None:
    model = compute(objects("", secure("crt", "a.example.com"), manifests.tls_secret("crt", **data)))
    assert model.servers[0].certificate == "local/a.example.com"
    assert any(why in problem for _, problem in model.problems)


# --- nobody writes more than an Ingress


HOSTILE = st.text(alphabet=st.sampled_from("ab/;{}\"'\\$#\n\r\t *~^()|.[]\x00=äé"), max_size=24)


@given(HOSTILE, HOSTILE, st.booleans())
def test_no_text_gets_out_of_its_place(path: str, value: str, regex: bool) -> None:
    names = ("rewrite-target", "proxy-body-size", "upstream-vhost", "app-root", "permanent-redirect", "auth-realm")
    given = dict.fromkeys(names, value) | {"use-regex": "true" if regex else "false"}
    made = text(compute(objects("", ingress("x", ("x.localhost", "/" + path, "Prefix", "a"), annotations=given))))
    depth, quoted, escaped = 0, "", False
    for letter in "\n".join(line for line in made.splitlines() if not line.strip().startswith("#")):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif quoted:
            quoted = "" if letter == quoted else quoted
        elif letter in "\"'":
            quoted = letter
        else:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            assert depth >= 0
    assert (depth, quoted) == (0, "")


def test_no_comment_becomes_a_line() -> None:
    evil = ingress("evil", ("x.localhost", "/", "Prefix", "a"))
    (rule,) = evil.spec.rules
    assert rule.http is not None
    resource = core_v1.TypedLocalObjectReference(kind="x\nreturn 200;", name="x")
    (path,) = rule.http.paths
    path = structs.replace(path, backend=networking_v1.IngressBackend(resource=resource))
    rule = structs.replace(rule, http=networking_v1.HTTPIngressRuleValue(paths=(path,)))
    made = text(compute(objects("", structs.replace(evil, spec=structs.replace(evil.spec, rules=(rule,))))))
    assert not any(line.strip().startswith("return 200") for line in made.splitlines())


def test_a_path_is_matched_by_whole_elements() -> None:
    made = text(compute(objects("", ingress("x", ("x.localhost", "/foo/", "Prefix", "a")))))
    assert 'location = "/foo" {' in made
    assert 'location "/foo/" {' in made
