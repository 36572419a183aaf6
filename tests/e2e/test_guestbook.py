"""examples/guestbook: from a folder to a published application whose entries outlive the database's pod."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest
from scripts.tour.visitor import Visitor

from tests.e2e.machine import Machine, eventually

pytestmark = [pytest.mark.e2e]

GUESTBOOK = Path(__file__).resolve().parents[2] / "examples" / "guestbook"
HOST = "guestbook.localhost"


@pytest.fixture
def guest(machine: Machine, base: str, namespace: str) -> Visitor:
    for folder in (GUESTBOOK / "mariadb", GUESTBOOK):
        said = machine.sampan("deploy", "-n", namespace, "--data-root", str(machine.root), str(folder)).stdout
        steps = dict(re.findall(r"^[1-6] (\w+) +(\S+) ", said, re.MULTILINE))
        assert set(steps) == {"image", "pods", "volumes", "service", "publish", "monitor"}, said
        assert set(steps.values()) <= {"ok", "-"}, said
    authority = machine.sampan("trust", "--print", *machine.where()).stdout.strip()
    return Visitor(HOST, machine.http_port, machine.https_port, authority)


def test_entries_outlive_the_database(machine: Machine, namespace: str, guest: Visitor) -> None:
    assert "Nobody has written yet" in guest.ask("/").text
    hostile = "<script>alert(1)</script> '); DROP TABLE entries; --"
    assert guest.ask("/entries", {"author": "Ada", "text": hostile}, tls=True).status == 303
    page = guest.ask("/", tls=True).text
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert re.search(r"answered by <code>guestbook-[\w-]+</code>, version <code>1</code>", page)
    (entry,) = guest.json("/entries.json")["entries"]
    assert (entry["author"], entry["text"]) == ("Ada", hostile)

    def chain() -> bool:
        said = machine.sampan("trace", "guestbook", "-n", namespace, check=False).stdout
        return (
            re.search(r"^ingress  GET .*\n  guestbook  GET /.*\n    guestbook  SELECT ", said, re.MULTILINE) is not None
        )

    eventually(chain, "one request from the ingress to SQL")
    uid = machine.get("pod", "mariadb-0", "-n", namespace)["metadata"]["uid"]
    machine.kubectl("delete", "pod", "mariadb-0", "-n", namespace, "--force", "--grace-period=0")

    def replaced() -> bool:
        found = machine.kubectl(
            "get", "pod", "mariadb-0", "-n", namespace, "-o", "jsonpath={.metadata.uid}", check=False
        )
        return found.returncode == 0 and found.stdout != uid

    eventually(replaced, "a new pod of the database")
    eventually(lambda: guest.ask("/entries.json").status == 200, "the guestbook has its database again")
    assert guest.json("/entries.json")["entries"] == [entry]

    with pytest.raises(ssl.SSLCertVerificationError):
        Visitor(HOST, guest.http, guest.https).ask("/", tls=True)
    for image in ("guestbook", "mariadb"):
        said = machine.sampan("image", "history", *machine.where(), f"sampan.dev/apps/{image}:latest").stdout
        assert re.findall(r"^(\w+) \(", said, re.MULTILINE) == ["service", "middleware", "base"]


def test_without_its_database_the_page_says_so(machine: Machine, namespace: str, guest: Visitor) -> None:
    machine.kubectl("delete", "app", "mariadb", "-n", namespace)
    eventually(lambda: guest.ask("/").status == 503, "the page without a database")
    away = guest.ask("/")
    assert "The database is away" in away.text and away.headers["Retry-After"]
    assert guest.ask("/healthz").status == 200, "the pod stays in the service to say so"
