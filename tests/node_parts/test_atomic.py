from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.node.volumes import atomic
from sampan.node.volumes.atomic import File


def contents(directory: Path) -> dict[str, bytes]:
    """What a reader sees: through the links, without the names of the layout."""
    found = {}
    for current, directories, files in os.walk(directory, followlinks=True):
        directories[:] = [name for name in directories if not name.startswith("..")]
        for name in files:
            path = Path(current) / name
            found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def test_the_layout_that_programs_know(tmp_path: Path) -> None:
    assert atomic.write(str(tmp_path), {"a": File(b"1"), "tls/key.pem": File(b"2", 0o600)})
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "tls") == "..data/tls"
    version = os.readlink(tmp_path / "..data")
    assert version.startswith("..") and (tmp_path / version / "tls/key.pem").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "tls/key.pem").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == sorted(["a", "tls", "..data", version])


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    payload = {"a": File(b"1", 0o640), "d/e/f": File(b"", 0o644)}
    atomic.write(str(tmp_path), payload)
    version = os.readlink(tmp_path / "..data")
    assert not atomic.write(str(tmp_path), payload)
    assert os.readlink(tmp_path / "..data") == version


@pytest.mark.parametrize(
    "second",
    [
        {"a": File(b"2")},
        {"a": File(b"1", 0o600)},
        {"b": File(b"1")},
        {"a": File(b"1"), "b": File(b"")},
        {"a/b": File(b"1")},
        {},
    ],
)
def test_a_new_version_replaces_the_old_one(tmp_path: Path, second: dict[str, File]) -> None:
    atomic.write(str(tmp_path), {"a": File(b"1")})
    assert atomic.write(str(tmp_path), second)
    assert contents(tmp_path) == {path: file.content for path, file in second.items()}
    assert len([name for name in os.listdir(tmp_path) if name.startswith("..2")]) == 1


def test_an_open_file_keeps_what_it_had(tmp_path: Path) -> None:
    atomic.write(str(tmp_path), {"a": File(b"old")})
    with (tmp_path / "a").open("rb") as reader:
        atomic.write(str(tmp_path), {"a": File(b"new")})
        assert reader.read() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_readers_never_see_a_mixture(tmp_path: Path) -> None:
    """Two files always change together; a reader that holds the version's directory sees one or the other."""
    atomic.write(str(tmp_path), {"a": File(b"0"), "b": File(b"0")})
    torn, done = [], threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                directory = os.open(tmp_path / "..data", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                # The link was followed to a version that was removed at that moment; the link itself always stands.
                if not os.path.islink(tmp_path / "..data"):
                    torn.append("..data vanished")
                continue
            try:
                pair = [_read_at(directory, name) for name in ("a", "b")]
            except FileNotFoundError:
                continue  # the whole version was removed under the reader, who looks again
            finally:
                os.close(directory)
            if pair[0] != pair[1]:
                torn.append(str(pair))

    reader = threading.Thread(target=read)
    reader.start()
    for at in range(1, 200):
        content = str(at).encode()
        atomic.write(str(tmp_path), {"a": File(content), "b": File(content)})
    done.set()
    reader.join()
    assert torn == []


def _read_at(directory: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=directory)
    with open(descriptor, "rb") as file:
        return file.read()


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    atomic.write(str(tmp_path), {"a": File(b"1")})
    (tmp_path / "..2020_01_01_00_00_00.000000001").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..nowhere")
    (tmp_path / "gone").symlink_to("..data/gone")
    atomic.write(str(tmp_path), {"a": File(b"2")})
    assert sorted(os.listdir(tmp_path)) == sorted(["a", "..data", os.readlink(tmp_path / "..data")])


def test_a_lost_link_is_made_again(tmp_path: Path) -> None:
    atomic.write(str(tmp_path), {"a": File(b"1")})
    (tmp_path / "a").unlink()
    assert atomic.write(str(tmp_path), {"a": File(b"1")})
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "..data", "..x/y"])
def test_paths_stay_inside(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        atomic.write(str(tmp_path), {path: File(b"")})
    assert not (tmp_path.parent / "x").exists()


@pytest.mark.kernel
def test_owners_and_groups(tmp_path: Path) -> None:
    atomic.write(str(tmp_path), {"d/a": File(b"1", 0o440, 1234, 5678)}, gid=5678)
    status = (tmp_path / "d/a").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 5678, 0o440)
    directory = (tmp_path / "d").stat()
    assert (directory.st_gid, stat.S_IMODE(directory.st_mode)) == (5678, 0o2755)
    assert not atomic.write(str(tmp_path), {"d/a": File(b"1", 0o440, 1234, 5678)}, gid=5678)
    assert atomic.write(str(tmp_path), {"d/a": File(b"1", 0o440, 1, 5678)}, gid=5678)


names = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(names, st.binary(max_size=8), max_size=5), min_size=1, max_size=4))
def test_after_any_history_the_last_payload_is_there(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, bytes]]
) -> None:
    directory = tmp_path_factory.mktemp("volume")
    last: dict[str, bytes] = {}
    for payload in history:
        # A name cannot be a file and a directory at once.
        last = {p: c for p, c in payload.items() if not any(q.startswith(p + "/") for q in payload)}
        atomic.write(str(directory), {path: File(content) for path, content in last.items()})
    assert contents(directory) == last
