"""COPY and ADD: what is taken, where it goes, whom it belongs to, and what is refused."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.images.build.errors import DockerfileError
from tests.images_build.lab import BASE, FROM, Lab

pytestmark = pytest.mark.kernel


def tree(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


async def test_files_and_directories_find_their_places(lab: Lab) -> None:
    lab.write({"a": "1", "d/b": "2", "d/e/c": "3"})
    made = await lab.build(
        "FROM scratch\nCOPY a /file\nCOPY a /dir/\nCOPY d /all\nCOPY a d /both/\nWORKDIR /w\nCOPY a .\n"
    )
    assert [tree(layer) for layer in made.layers] == [
        ["file"],
        ["dir", "dir/a"],
        ["all", "all/b", "all/e", "all/e/c"],
        ["both", "both/a", "both/b", "both/e", "both/e/c"],
        ["w"],
        ["w", "w/a"],
    ]


async def test_patterns(lab: Lab) -> None:
    lab.write(
        {"a1.txt": "", "a2.txt": "", "b.txt": "", "[x]": "", "deep/one/m.go": "", "deep/two/m.go": "", "deep/n.c": ""}
    )
    made = await lab.build(
        "FROM scratch\nCOPY a?.t* /a/\nCOPY [ab].txt /b/\nCOPY **/*.go /c/\nCOPY --parents **/*.go /d/\n"
    )
    assert [tree(layer) for layer in made.layers] == [
        ["a", "a/a1.txt", "a/a2.txt"],
        ["b", "b/b.txt"],
        ["c", "c/m.go"],
        ["d", "d/deep", "d/deep/one", "d/deep/one/m.go", "d/deep/two", "d/deep/two/m.go"],
    ]
    made = await lab.build("FROM scratch\nCOPY --exclude=*.txt --exclude=deep/two . /x/\n")
    assert tree(made.top / "x") == ["[x]", "deep", "deep/n.c", "deep/one", "deep/one/m.go"]


async def test_owners_and_modes(lab: Lab) -> None:
    lab.write({"a": "1", "d/run": "2"})
    os.chmod(lab.context / "d/run", 0o750)
    os.chown(lab.context / "a", 77, 77)
    made = await lab.build(
        FROM + "COPY a /1\nCOPY --chown=web a /2\nCOPY --chown=web:extra --chmod=600 a /3\nCOPY --chown=5:6 d /4\n"
        "COPY --chmod=u=rwX,go=rX d /5\nARG WHO=web\nCOPY --chown=$WHO a /6\n"
    )

    def shown(path: str) -> tuple[int, int, int]:
        status = made.status(path)
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    assert [shown(path) for path in ("1", "2", "3", "4", "4/run", "5/run", "6")] == [
        (0, 0, 0o644),
        (1000, 1001, 0o644),
        (1000, 2000, 0o600),
        (5, 6, 0o755),
        (5, 6, 0o750),
        (0, 0, 0o755),
        (1000, 1001, 0o644),
    ]


async def test_here_documents_become_files(lab: Lab) -> None:
    made = await lab.build(
        'FROM scratch\nARG A=one\nCOPY <<x <<"y" /in/\n$A "quoted" \\$A\nx\n$A\ny\n'
        "COPY --chmod=755 <<z /script\n#!/bin/sh\nz\n"
    )
    assert made.read("in/x") == 'one "quoted" $A\n' and made.read("in/y") == "$A\n"
    assert stat.S_IMODE(made.status("script").st_mode) == 0o755


async def test_links_in_the_context_stay_links_and_lead_nowhere_else(lab: Lab) -> None:
    lab.write({"real/a": "1"})
    (lab.root / "outside").write_text("secret")
    (lab.context / "l").symlink_to("real/a")
    (lab.context / "out").symlink_to("../outside")
    (lab.context / "all").mkdir()
    (lab.context / "all/abs").symlink_to("/etc/passwd")
    made = await lab.build("FROM scratch\nCOPY l /one\nCOPY all /all\n")
    assert made.read("one") == "1" and os.readlink(made.layers[-1] / "all/abs") == "/etc/passwd"
    for source in ("out", "../outside", "/../outside", "real/../../outside"):
        with pytest.raises(DockerfileError, match=r"Dockerfile:2: .*outside is not in|Dockerfile:2: out is not in"):
            await lab.build(f"FROM scratch\nCOPY {source} /x\n")


async def test_destinations_follow_links_inside_of_the_image(lab: Lab) -> None:
    lab.write({"a": "1"})
    made = await lab.build(
        FROM + "RUN mkdir /real && ln -s real /short && ln -s ../../../../../etc /bin/up && chmod 711 /real\n"
        "COPY a /short/x\nCOPY a /bin/up/y\n"
    )
    assert tree(made.layers[-2]) == ["real", "real/x"] and tree(made.layers[-1]) == ["etc", "etc/y"]
    assert stat.S_IMODE(made.status("real").st_mode) == 0o711


async def test_archives_are_unpacked_by_add_alone(lab: Lab) -> None:
    def archive(mode: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as made:  # type: ignore[call-overload]
            for name, text in (("d/one", b"1"), ("two", b"2")):
                member = tarfile.TarInfo(name)
                member.size, member.uid, member.mode = len(text), 7, 0o640
                made.addfile(member, io.BytesIO(text))
            link = tarfile.TarInfo("again")
            link.type, link.linkname = tarfile.LNKTYPE, "two"
            made.addfile(link)
        return out.getvalue()

    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        lab.write({"x.tar": archive(mode)})
        made = await lab.build("FROM scratch\nADD x.tar /in/\n")
        assert tree(made.top) == ["in", "in/again", "in/d", "in/d/one", "in/two"], mode
        assert made.status("in/d/one").st_uid == 7 and made.status("in/two").st_nlink == 2
    made = await lab.build("FROM scratch\nCOPY x.tar /in/\nADD --unpack=false x.tar /as/\n")
    assert tree(made.layers[0]) == ["in", "in/x.tar"] and tree(made.layers[1]) == ["as", "as/x.tar"]
    lab.write({"x.gz": gzip.compress(b"no archive")})
    made = await lab.build("FROM scratch\nADD x.gz /\n")
    assert tree(made.top) == ["x.gz"]


async def test_archives_cannot_leave_the_image(lab: Lab) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    lab.write({"x.tar": out.getvalue()})
    with pytest.raises(DockerfileError, match=r"Dockerfile:2: .*evil"):
        await lab.build("FROM scratch\nADD x.tar /in/\n")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("up")
        link.type, link.linkname = tarfile.SYMTYPE, "/../../../../../../tmp"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("up/evil-of-a-test"))
    lab.write({"x.tar": out.getvalue()})
    with pytest.raises(DockerfileError, match="Dockerfile:2: "):
        await lab.build("FROM scratch\nADD x.tar /\n")
    assert not os.path.exists("/tmp/evil-of-a-test")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "web").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/moved"))
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "web"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_urls(lab: Lab, web: str) -> None:
    (lab.root / "web/f.txt").write_text("from the web")
    digest = hashlib.sha256(b"from the web").hexdigest()
    made = await lab.build(
        f"FROM scratch\nADD {web}/f.txt /in/\nADD --checksum=sha256:{digest} {web}/moved/f.txt /other\n"
    )
    assert made.read("in/f.txt") == "from the web" and made.read("other") == "from the web"
    assert stat.S_IMODE(made.status("other").st_mode) == 0o600
    again = await lab.build(f"FROM scratch\nADD {web}/f.txt /in/\nADD {web}/f.txt /other\n")
    assert again.built.cached == again.built.steps
    (lab.root / "web/f.txt").write_text("changed")
    again = await lab.build(f"FROM scratch\nADD {web}/f.txt /in/\n")
    assert again.read("in/f.txt") == "changed"
    for line, wanted in (
        (f"ADD {web}/absent /x", "the server answered 404; is the address right?"),
        (f"ADD {web}/ /x/", "the URL ends without a file's name; name the file in the destination"),
        (f"ADD --checksum=sha256:{digest} {web}/f.txt /x", f"not sha256:{digest}"),
        ("ADD http://127.0.0.1:1/f /x", "Dockerfile:2: ADD http://127.0.0.1:1/f: "),
        ("ADD git@example.test:a/b.git /x", "git repositories are not fetched; clone it into the build context"),
    ):
        with pytest.raises(DockerfileError) as caught:
            await lab.build(f"FROM scratch\n{line}\n")
        assert wanted in str(caught.value) and str(caught.value).startswith("Dockerfile:2: ")


async def test_from_stages_and_images(lab: Lab) -> None:
    made = await lab.build(
        f"FROM {BASE} AS one\nRUN echo 1 > /data/f && chown web /data/f && ln -s f /data/l\n"
        f"FROM scratch\nCOPY --from=one /data /out\nCOPY --from=0 /data/l /link\nCOPY --from={BASE} /etc/passwd /etc/\n"
    )
    assert made.read("out/f") == "1\n" and made.read("link") == "1\n" and "web:x:1000" in made.read("etc/passwd")
    assert made.status("out/f").st_uid == 0 and os.readlink(made.layers[0] / "out/l") == "f"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("COPY absent /x", "absent is not in the build context; / has .dockerignore, a, d, hidden"),
        ("COPY d/absent /x", "d/absent is not in the build context; /d has b"),
        ("COPY *.zip /x/", "*.zip is not in the build context"),
        ("COPY hidden /x", "hidden is left out by .dockerignore; add a line with ! and the name, or copy another"),
        ("COPY a d/b /x", "2 sources cannot become the one file /x; end the destination with a slash"),
        ("COPY --chown=nobody-here a /x", "the image has no user 'nobody-here'; add it before (RUN useradd ...)"),
        ("COPY --chmod=rwx a /x", "--chmod=rwx is no mode; give an octal number such as 0755"),
        ("COPY $EMPTY /x", "an empty source: does its variable have a value?"),
        ("COPY --from=1 a /x", "--from=1 is no earlier stage"),
        ("COPY --from=sampan.test/none:1 a /x", "sampan.test/none:1"),
        ("COPY d /etc/passwd", "/etc/passwd is a file in the image; a directory cannot take its place"),
        ("COPY a /etc/passwd/x", "/etc/passwd is a file in the image; a directory cannot take its place"),
    ],
)
async def test_what_cannot_be_copied(lab: Lab, line: str, wanted: str) -> None:
    lab.write({"a": "", "d/b": "", "hidden": "", ".dockerignore": "hidden\n.dockerignore\n"})
    with pytest.raises(DockerfileError) as caught:
        await lab.build(f"{FROM}{line}\n")
    assert wanted in str(caught.value) and str(caught.value).startswith("Dockerfile:2: ")
