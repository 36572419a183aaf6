"""What images there are: names, removal, sharing, garbage, crashes, and several processes at once."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.host import mounts
from sampan.host.containers import ImageFailure
from sampan.images import archive
from sampan.images.content import Content, DigestMismatch
from sampan.images.store import ImageStore
from tests.images.build import Made, digest, image, layer, oci_files, write

pytestmark = pytest.mark.kernel
BASE, TOP, OTHER = layer(("base", b"12345")), layer(("top", b"123")), layer(("other", b"1"))


async def add(store: ImageStore, made: Made, name: str) -> str:
    path = write(Path(store.root_directory).parent / "in.tar", oci_files(made, f"{name}:latest"))
    await archive.load(store, str(path))
    return made.config


def kept(store: ImageStore) -> tuple[set[str], set[str]]:
    return set(store.layers.known()), set(store.content.digests())


async def test_sizes_and_sharing(store: ImageStore) -> None:
    await add(store, image(BASE, TOP), "a")
    await add(store, image(BASE, OTHER), "b")
    assert {each.references[0]: each.size for each in await store.images()} == {
        "docker.io/library/a:latest": 8,
        "docker.io/library/b:latest": 6,
    }
    blobs = sum(store.content.size(each) for each in store.content.digests())
    used, whole = await store.usage()
    assert used == 5 + 3 + 1 + blobs and whole > used


async def test_removal_keeps_what_others_use(store: ImageStore) -> None:
    first, second = image(BASE, TOP), image(BASE, OTHER)
    a, b = await add(store, first, "a"), await add(store, second, "b")
    assert await store.remove(a) > 3
    assert await store.image("a") is None and await store.remove(a) == 0
    assert kept(store) == ({digest(BASE), digest(OTHER)}, set(second.blobs))
    await store.remove(b)
    assert kept(store) == (set(), set()) and await store.images() == []


async def test_a_name_moves_to_the_newer_image(store: ImageStore) -> None:
    old, new = await add(store, image(BASE), "app"), await add(store, image(TOP), "app")
    found = await store.image("app")
    assert found is not None and found.id == new
    before = await store.image(old)
    assert before is not None and before.references == ()


async def test_tags(store: ImageStore) -> None:
    id = await add(store, image(BASE), "a")
    await store.tag("a", "b:2")
    found = await store.image("b:2")
    assert found is not None and found.id == id and len(found.references) == 2
    assert await store.untag("b:2") == 0
    assert await store.image("b:2") is None and await store.image("a") is not None
    assert await store.untag("a") > 0 and await store.images() == []
    for call in (store.tag("a", "c"), store.untag("a")):
        with pytest.raises(ImageFailure, match="image 'a' not found"):
            await call


async def test_use_is_noted(store: ImageStore) -> None:
    id = await add(store, image(BASE), "a")
    os.utime(f"{store.root_directory}/records/{id[7:]}.json", (1, 1))
    before = await store.image("a")
    assert before is not None and before.used_at == 1
    root = store.root("a")
    assert root is not None and root.id == id and root.reference == id
    after = await store.image("a")
    assert after is not None and after.used_at > 1
    assert store.root("nowhere") is None


async def test_images_in_use_stay(store: ImageStore, tmp_path: Path) -> None:
    id = await add(store, image(BASE, TOP), "a")
    root = store.root("a")
    assert root is not None
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()
    mounts.overlay(str(tmp_path / "root"), root.layers, str(tmp_path / "upper"), str(tmp_path / "work"))
    try:
        with pytest.raises(ImageFailure, match="is used by a running container") as raised:
            await store.remove(id)
        assert raised.value.reason == "ImageInUse"
        assert await store.image("a") is not None
    finally:
        mounts.unmount(str(tmp_path / "root"))
    assert await store.remove(id) > 0


async def test_garbage_is_collected(store: ImageStore) -> None:
    made = image(BASE)
    await add(store, made, "a")
    store.content.put(b"nobody's")
    store.layers.unpack(io.BytesIO(OTHER), digest(OTHER))
    Path(store.content.directory, ".partial-crashed").write_text("half")
    Path(store.layers.directory, ".new-crashed").mkdir()
    assert await store.collect() == len(b"nobody's") + 1
    assert kept(store) == ({digest(BASE)}, set(made.blobs))
    assert not [name for name in os.listdir(store.content.directory) if name.startswith(".")]


async def test_collection_spares_what_comes_in(store: ImageStore) -> None:
    other = ImageStore(store.root_directory)
    async with other.adding():
        store.content.put(b"coming")
        assert await store.collect() == 0 and len(kept(store)[1]) == 1
    assert await store.collect() == len(b"coming")
    other.close()


async def test_another_process_is_seen(store: ImageStore) -> None:
    other = ImageStore(store.root_directory)
    for name in ("a", "b", "c"):
        id = await add(other, image(BASE, Name=name), name)
        assert await store.image(name) is not None
        assert (await store.image(name)) == (await other.image(id))
    await other.remove((await other.images())[0].id)
    assert len(await store.images()) == 2
    other.close()


async def test_records_that_a_power_loss_left(store: ImageStore) -> None:
    id = await add(store, image(BASE), "a")
    Path(store.root_directory, "records", "0" * 64 + ".json").write_bytes(b"")
    Path(store.root_directory, "records", "half.json.new").write_bytes(b"{")
    again = ImageStore(store.root_directory)
    assert [each.id for each in await again.images()] == [id]
    await again.collect()
    assert await again.image("a") is not None
    again.close()


async def test_the_same_image_by_many_at_once(store: ImageStore, tmp_path: Path) -> None:
    made = image(BASE, TOP)
    paths = [write(tmp_path / f"{at}.tar", oci_files(made, f"n{at}:1")) for at in range(6)]
    await asyncio.gather(*(archive.load(store, str(path)) for path in paths))
    found = await store.images()
    assert len(found) == 1 and len(found[0].references) == 6


CHILD = """
import asyncio, sys
from sampan.images import archive
from sampan.images.store import ImageStore

async def main() -> None:
    store = ImageStore(sys.argv[1])
    await store.collect()
    print("up", flush=True)
    while True:
        await archive.load(store, sys.argv[2])
        await store.remove((await store.images())[0].id)

asyncio.run(main())
"""


async def test_killed_while_it_loads(tmp_path: Path) -> None:
    """SIGKILL at any moment leaves whole images or none; the next start collects the rest."""
    made = image(BASE, TOP, layer(("large", os.urandom(200_000))))
    path = write(tmp_path / "a.tar", oci_files(made, "a:1"))
    for turns in (0, 5, 50, 200, 1000):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(tmp_path / "store"), str(path), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        await child.stdout.readline()
        for _ in range(turns):
            os.listdir(tmp_path / "store/blobs/sha256")
        child.kill()
        await child.wait()
        store = ImageStore(str(tmp_path / "store"))
        for each in await store.images():
            root = store.root(each.id)
            assert root is not None and all(os.path.isdir(place) for place in root.layers)
        await store.collect()
        layers, blobs = kept(store)
        assert (len(layers), len(blobs)) in ((0, 0), (3, len(made.blobs)))
        store.close()


def test_blobs_are_checked(tmp_path: Path) -> None:
    content = Content(str(tmp_path))
    name = content.put(b"content")
    assert content.put(iter((b"con", b"tent")), name) == name == digest(b"content")
    with pytest.raises(DigestMismatch):
        content.put(b"other", name)
    assert list(content.digests()) == [name] and content.read(name) == b"content"
    with pytest.raises(ValueError, match="larger than 3 bytes"):
        content.read(name, 3)
    for wrong in ("sha512:" + "0" * 128, "sha256:../../etc/passwd", "sha256:ab", ""):
        with pytest.raises(ValueError, match="not supported"):
            content.path(wrong)


def test_interrupted_downloads_go_on(tmp_path: Path) -> None:
    content = Content(str(tmp_path))

    def download(data: bytes, expected: str = "") -> None:
        with content.writer(resume="x") as writer:
            writer.recover()
            writer.write(data)
            if not expected:
                raise ConnectionError
            writer.commit(expected)

    for part in (b"con", b"te"):
        with pytest.raises(ConnectionError):
            download(part)
    download(b"nt", digest(b"content"))
    with pytest.raises(DigestMismatch):
        download(b"wrong", digest(b"right"))
    assert os.listdir(content.directory) == [digest(b"content")[7:]]
