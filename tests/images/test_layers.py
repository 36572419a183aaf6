"""Layers unpacked: whiteouts, links, attributes, and archives that mean harm."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from sampan.images import layers as unpacking
from sampan.images.content import DigestMismatch
from sampan.images.entries import LayerError, clean
from sampan.images.layers import Layers
from tests.images.build import digest, entry, folder, layer, link, listing

pytestmark = pytest.mark.kernel  # device nodes and trusted attributes need root


def unpack(tmp_path: Path, data: bytes) -> Path:
    """The layer in a directory that has something beside it."""
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "kept").write_text("kept")
    target = tmp_path / "layer"
    target.mkdir()
    unpacking.extract(io.BytesIO(data), str(target))
    return target


def test_files_and_attributes(tmp_path: Path) -> None:
    capability = entry("bin/ping", mode=0o4755, uid=7, gid=8, mtime=1_000_000)
    capability.pax_headers = {"SCHILY.xattr.user.note": "hello", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    target = unpack(
        tmp_path,
        layer(
            folder("bin", mode=0o2755, uid=1, gid=2, mtime=5_000_000),
            (capability, b"program"),
            entry("pipe", tarfile.FIFOTYPE),
            entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            link("bin/p", "ping"),
            link("bin/hard", "bin/ping", hard=True),
            ("deep/without/parents", b"x"),
            folder("./"),
        ),
    )
    found = (target / "bin/ping").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime) == (0o4755, 7, 8, 1_000_000)
    assert found.st_nlink == 2 and (target / "bin/hard").samefile(target / "bin/ping")
    assert os.getxattr(target / "bin/ping", "user.note") == b"hello"
    assert os.listxattr(target / "bin/ping") == ["user.note"]
    assert (target / "bin").stat().st_mtime == 5_000_000 and (target / "bin").stat().st_gid == 2
    assert stat.S_ISFIFO((target / "pipe").stat().st_mode)
    assert (target / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.readlink(target / "bin/p") == "ping"


def test_whiteouts(tmp_path: Path) -> None:
    target = unpack(
        tmp_path,
        layer(
            folder("opaque"), ("opaque/.wh..wh..opq", b""), ("opaque/new", b"new"),
            folder("plain"), ("plain/.wh.gone", b""),
            (".wh.directory", b""), folder("directory"),
            folder("replaced"), (".wh.replaced", b""),
            ("plain/back", b""), ("plain/.wh.back", b""),
        ),
    )  # fmt: skip
    assert os.getxattr(target / "opaque", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(target / "directory", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(target / "replaced", "trusted.overlay.opaque") == b"y"
    gone = (target / "plain/gone").stat()
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    assert (target / "plain/back").is_file()
    assert "opaque/.wh..wh..opq" not in listing(target)


def test_whiteouts_in_the_kernels_overlay(tmp_path: Path) -> None:
    from sampan.host import mounts

    lower, upper = tmp_path / "lower", tmp_path / "upper"
    lower.mkdir()
    upper.mkdir()
    below = layer(("a", b"a"), ("b", b"b"), folder("d"), ("d/one", b"1"), folder("e"), ("e/two", b"2"))
    above = layer((".wh.a", b""), folder("d"), ("d/.wh..wh..opq", b""), ("d/new", b"n"), (".wh.e", b""), ("b", b"B"))
    unpacking.extract(io.BytesIO(below), str(lower))
    unpacking.extract(io.BytesIO(above), str(upper))
    target = tmp_path / "target"
    target.mkdir()
    mounts.overlay(str(target), (str(upper), str(lower)), "", "")
    try:
        assert listing(target) == {"b": "B", "d": "directory", "d/new": "n"}
    finally:
        mounts.unmount(str(target))


def test_later_entries_replace_earlier_ones(tmp_path: Path) -> None:
    target = unpack(
        tmp_path,
        layer(
            ("file", b"1"), ("file", b"2"),
            folder("directory"), ("directory/inner/x", b""), ("directory", b"now a file"),
            ("other", b""), folder("other"), ("other/x", b"x"),
            link("link", "file"), ("link", b"mine"),
        ),
    )  # fmt: skip
    assert listing(target) == {
        "file": "2", "directory": "now a file", "other": "directory", "other/x": "x", "link": "mine",
    }  # fmt: skip


@pytest.mark.parametrize(
    "members",
    [
        [("../outside/kept", b"evil")],
        [("a/../../outside/kept", b"evil")],
        [link("escape", "../outside"), ("escape/kept", b"evil")],
        [link("escape", "/"), ("escape/etc/sampan-was-here", b"evil")],
        [link("escape", "../outside/kept", hard=True)],
        [link("escape", "../outside"), link("got", "escape/kept", hard=True)],
        [link("kept", "../outside/kept"), link("got", "kept", hard=True), ("got", b"evil")],
        [(".wh.../outside", b"")],
        [link("d", "../outside"), ("d/.wh.kept", b"")],
        [link("d", "../outside"), ("d/.wh..wh..opq", b"")],
        [link("d", "../outside"), folder("d/new")],
        [link("d", "nowhere"), ("d/x", b"")],
        [("file", b""), ("file/x", b"")],
        [link("loop", "loop"), ("loop/x", b"")],
        [link("missing", "absent", hard=True)],
        [link("root", ".", hard=True)],
        [("/".join(["d"] * 300), b"")],
        [entry("odd", b"Z")],
        [(".wh.", b"")],
        [("", b"file as root")],
    ],
)
def test_nothing_gets_outside(tmp_path: Path, members: list[object]) -> None:
    data = layer(*members)  # type: ignore[arg-type]
    try:
        unpack(tmp_path, data)
    except LayerError:
        pass
    assert listing(tmp_path / "outside") == {"kept": "kept"}
    assert not Path("/etc/sampan-was-here").exists()


@pytest.mark.parametrize("name", ["..", "a/..", "../a", "a/../../b", "a\0b", "/".join("a" * 400)])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(LayerError):
        clean(name)


def test_names_that_are_cleaned() -> None:
    assert clean("/a//./b/") == ("a", "b") and clean("./") == ()


def test_absolute_links_stay_inside(tmp_path: Path) -> None:
    target = unpack(tmp_path, layer(folder("usr/bin"), link("bin", "/usr/bin"), ("bin/sh", b"shell")))
    assert (target / "usr/bin/sh").read_text() == "shell"


@pytest.mark.parametrize("compress", [False, True])
def test_damaged_archives(tmp_path: Path, compress: bool) -> None:
    data = layer(("file", os.urandom(100_000)))
    data = gzip.compress(data) if compress else data
    for broken in (data[:50_000], data[: len(data) - 20_000] if compress else data[:700]):
        (tmp_path / "t").mkdir(exist_ok=True)
        with pytest.raises(LayerError):
            unpacking.extract(io.BytesIO(broken), str(tmp_path / "t"))


def test_headers_that_would_fill_the_memory(tmp_path: Path) -> None:
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE):
        header = entry("x", kind, size=8 << 30).tobuf(tarfile.GNU_FORMAT)
        (tmp_path / str(kind[0])).mkdir()
        with pytest.raises(LayerError, match="a header of 8589934592 bytes"):
            unpacking.extract(io.BytesIO(header + bytes(10240)), str(tmp_path / str(kind[0])))


def test_zstd_without_its_module_is_explained(tmp_path: Path) -> None:
    try:
        import zstandard
    except ImportError:
        with pytest.raises(LayerError, match="pip install zstandard"):
            unpacking.extract(io.BytesIO(b"\x28\xb5\x2f\xfd" + bytes(100)), str(tmp_path))
        return
    packed = zstandard.ZstdCompressor().compress(layer(("a", b"x")))
    assert unpacking.extract(io.BytesIO(packed), str(tmp_path))[0] == digest(layer(("a", b"x")))


def test_layers_are_kept_by_their_digest(tmp_path: Path) -> None:
    layers = Layers(str(tmp_path))
    data = layer(("file", b"content"))
    name = digest(data)
    with pytest.raises(DigestMismatch, match="the image's configuration says"):
        layers.unpack(io.BytesIO(data), digest(b"other"))
    assert os.listdir(layers.directory) == [] and not layers.has(name)
    assert layers.unpack(io.BytesIO(gzip.compress(data)), name) == 7 == layers.unpack(io.BytesIO(b"not read"), name)
    assert layers.has(name) and layers.size(name) == 7 and layers.known() == [name]
    (Path(layers.directory) / ".new-crashed").mkdir()
    (Path(layers.directory) / name[7:31] / "diff-id").write_text("")  # what a power loss can leave
    assert not layers.has(name) and layers.known() == []
    assert layers.unpack(io.BytesIO(data), name) == 7 and layers.has(name)
    layers.discard_partial()
    assert len(os.listdir(layers.directory)) == 1
    assert layers.remove(name) == 7 and layers.remove(name) == 0 and os.listdir(layers.directory) == []


NAMES = some.lists(some.sampled_from(["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", "outside", "kept"]), max_size=5)
PATHS = some.builds(lambda parts, root: ("/" if root else "") + "/".join(parts), NAMES, some.booleans())
KINDS = some.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
MEMBERS = some.lists(some.tuples(PATHS, KINDS, PATHS), max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS)
def test_any_archive_stays_inside(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("fuzz")
    made = [
        (entry(name, kind, linkname=target, devmajor=1, devminor=3), b"evil" if kind == tarfile.REGTYPE else b"")
        for name, kind, target in members
    ]
    data = layer(*made)
    before = set(os.listdir("/")), set(os.listdir("/etc"))
    try:
        unpack(tmp_path, data)
    except LayerError:
        pass
    assert listing(tmp_path / "outside") == {"kept": "kept"}
    assert sorted(os.listdir(tmp_path)) == ["layer", "outside"]
    assert (set(os.listdir("/")), set(os.listdir("/etc"))) == before


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=some.lists(some.tuples(some.integers(0, 3000), some.binary(min_size=1, max_size=4)), max_size=8))
def test_any_bytes_are_refused_or_unpacked(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]
) -> None:
    """Changed anywhere, an archive is unpacked or refused with our error, and nothing else happens."""
    tmp_path = tmp_path_factory.mktemp("fuzz")
    long = entry("n" * 150)
    data = bytearray(layer(folder("d"), ("d/file", b"content"), link("l", "d/file"), (long, b"x")))
    for at, change in changes:
        data[at : at + len(change)] = change
    try:
        unpack(tmp_path, bytes(data))
    except LayerError:
        pass
    assert listing(tmp_path / "outside") == {"kept": "kept"}
    assert sorted(os.listdir(tmp_path)) == ["layer", "outside"]
