"""Archives of images in and out: docker's and OCI's, as files, compressed, and as directories."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from sampan.host.containers import ImageFailure
from sampan.images import archive, documents, make
from sampan.images.store import ImageStore
from tests.images.build import (
    ARCHITECTURE,
    docker_files,
    folder,
    image,
    index,
    layer,
    link,
    listing,
    oci_files,
    spread,
    tar,
    write,
)  # fmt: skip

pytestmark = pytest.mark.kernel
LOWER, UPPER = layer(folder("etc"), ("etc/one", b"1")), layer(("etc/two", b"2"), (".wh.old", b""))
NAME = "sampan.test/app:v1"


def content(store: ImageStore, name: str) -> list[dict[str, str]]:
    """The files of each layer, the top one first."""
    root = store.root(name)
    assert root is not None
    return [listing(path) for path in root.layers]


async def check(store: ImageStore, name: str = NAME) -> None:
    found = await store.image(name)
    assert found is not None and found.references == (name,) and found.size == 2
    assert content(store, name) == [
        {"etc": "directory", "etc/two": "2", "old": "special"},
        {"etc": "directory", "etc/one": "1"},
    ]


async def test_docker_archive(store: ImageStore, tmp_path: Path) -> None:
    made = image(LOWER, UPPER, Cmd=["/x"], User="web")
    found = await archive.load(store, str(write(tmp_path / "a.tar", docker_files(made, NAME))))
    assert [(each.id, each.references, each.user) for each in found] == [(made.config, (NAME,), "web")]
    await check(store)


async def test_oci_archive(store: ImageStore, tmp_path: Path) -> None:
    made = image(LOWER, UPPER)
    found = await archive.load(store, str(write(tmp_path / "a.tar", oci_files(made, NAME))))
    assert [each.id for each in found] == [made.config]
    await check(store)


async def test_directories(store: ImageStore, tmp_path: Path) -> None:
    await archive.load(store, str(spread(tmp_path / "oci", oci_files(image(LOWER, UPPER), NAME))))
    await check(store)
    await archive.load(store, str(spread(tmp_path / "docker", docker_files(image(LOWER), "other:1"))))
    assert (await store.image("other:1")) is not None


async def test_compressed_archive(store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar(docker_files(image(LOWER, UPPER), NAME).items())))
    await archive.load(store, str(path))
    await check(store)
    assert sorted(os.listdir(store.root_directory)) == ["adding", "blobs", "layers", "lock", "records"]


async def test_archive_from_a_pipe(store: ImageStore, tmp_path: Path) -> None:
    data = tar(docker_files(image(LOWER, UPPER), NAME).items())
    reader, writer = os.pipe()

    def feed() -> None:
        with open(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    await archive.load(store, f"/proc/self/fd/{reader}")
    thread.join()
    os.close(reader)
    await check(store)


async def test_names(store: ImageStore, tmp_path: Path) -> None:
    made = image(LOWER)
    found = await archive.load(store, str(write(tmp_path / "a.tar", docker_files(made))))
    assert found[0].references == () and (await store.image(made.config)) is not None
    found = await archive.load(store, str(tmp_path / "a.tar"), "web")
    assert found[0].references == ("docker.io/library/web:latest",)
    found = await archive.load(store, str(write(tmp_path / "b.tar", docker_files(made, "x:1", "y:2"))))
    assert set(found[0].references) >= {"docker.io/library/x:1", "docker.io/library/y:2"}
    for short in (made.config[7:19], made.config, "y:2"):
        assert (await store.image(short)) == (await store.image("x:1"))
    assert await store.image("z") is None and await store.image("sha256:" + "0" * 64) is None


async def test_names_that_cannot_be(store: ImageStore, tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tar", docker_files(image(LOWER), "x:1")))
    with pytest.raises(ImageFailure, match="couldn't parse image name") as raised:
        await archive.load(store, path, "Not A Name")
    assert raised.value.reason == "InvalidImageName"
    saved = [{"Config": "config.json", "Layers": []}] * 2
    files = {**docker_files(image(LOWER)), "manifest.json": json.dumps(saved).encode()}
    with pytest.raises(ImageFailure, match="it has 2 images, one name was given"):
        await archive.load(store, str(write(tmp_path / "b.tar", files)), "x")


def several(mine: Any, other: Any, **fields: Any) -> dict[str, bytes]:
    """An OCI layout whose only entry is an index, as buildx writes it."""
    nested = index((other, "riscv64"), (mine, ARCHITECTURE))
    name = mine.put(nested)
    top = [{"mediaType": documents.INDEX, "digest": name, "size": len(nested), **fields}]
    return oci_files(mine, top=top)


async def test_platform_of_a_nested_index(store: ImageStore, tmp_path: Path) -> None:
    mine, other = image(LOWER, UPPER), image(LOWER, architecture="riscv64")
    files = several(mine, other, annotations={documents.IMAGE_NAME: NAME})
    await archive.load(store, str(write(tmp_path / "a.tar", files)))
    await check(store)


async def test_platform_among_the_entries(store: ImageStore, tmp_path: Path) -> None:
    mine, other = image(LOWER, UPPER), image(LOWER, architecture="riscv64")
    top = json.loads(index((other, "riscv64"), (mine, ARCHITECTURE)))["manifests"]
    for each in top:
        each["annotations"] = {documents.IMAGE_NAME: NAME}
    top.append({**top[0], "platform": {"os": "unknown", "architecture": "unknown"}})
    await archive.load(store, str(write(tmp_path / "a.tar", oci_files(mine, top=top))))
    await check(store)


async def test_other_platforms_only(store: ImageStore, tmp_path: Path) -> None:
    other = image(LOWER, architecture="riscv64")
    top = json.loads(index((other, "riscv64")))["manifests"]
    with pytest.raises(ImageFailure, match=r"no match for platform linux/.*: it has linux/riscv64"):
        await archive.load(store, str(write(tmp_path / "a.tar", oci_files(other, top=top))))


def change(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    return {name: data for name, data in {**files, **changes}.items() if data is not None}


async def refused(store: ImageStore, path: Path, words: str) -> None:
    with pytest.raises(ImageFailure, match=words) as raised:
        await archive.load(store, str(path))
    assert raised.value.reason == "ErrImagePull"
    assert await store.images() == []
    assert list(store.content.digests()) == [] and store.layers.known() == []


async def test_what_is_no_image(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_text("")
    (tmp_path / "folder").mkdir()
    await refused(store, tmp_path / "text", "cannot load .*text")
    await refused(store, tmp_path / "empty", "cannot load .*empty")
    await refused(store, tmp_path / "folder", r"neither index.json nor manifest.json is in it")
    await refused(store, tmp_path / "absent", "no such file or directory")
    await refused(store, write(tmp_path / "a.tar", {"x": b""}), r"neither index.json nor manifest.json is in it")
    await refused(store, write(tmp_path / "b.tar", {"index.json": b'{"manifests": []}'}), "no image")


async def test_damaged_archives(store: ImageStore, tmp_path: Path) -> None:
    made = image(LOWER, UPPER)
    docker, oci = docker_files(made, NAME), oci_files(made, NAME)
    path = tmp_path / "a.tar"
    for broken in (b"[", b"{}", b'[{"Config": 1}]', b'[{"Config": "config.json", "Layers": ["nowhere"]}]'):
        await refused(store, write(path, change(docker, **{"manifest.json": broken})), "cannot load")
    await refused(store, write(path, change(docker, **{"config.json": b"{}"})), "failed to unpack image")
    await refused(store, write(path, change(docker, **{"0/layer.tar": UPPER})), "the image's configuration says")
    await refused(store, write(path, change(docker, **{"0/layer.tar": b"junk"})), "failed to unpack image")
    saved = json.dumps([{"Config": "config.json", "Layers": ["0/layer.tar"]}]).encode()
    await refused(store, write(path, change(docker, **{"manifest.json": saved})), "has 1 layers, the configuration 2")
    for name in (made.manifest, made.config, json.loads(made.blobs[made.manifest])["layers"][0]["digest"]):
        blob = f"blobs/sha256/{name[7:]}"
        await refused(store, write(path, change(oci, **{blob: None})), f"{blob} is not in the archive")
        await refused(store, write(path, change(oci, **{blob: oci[blob] + b" "})), "has digest .*, expected")
    path.write_bytes(gzip.compress(tar(docker.items()))[:-500])
    await refused(store, path, "cannot load")


async def test_links_in_a_directory_stay_inside(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(json.dumps([{"Config": "config.json", "Layers": []}]))
    for target in ("../secret", str(tmp_path / "secret")):
        folder_ = tmp_path / f"d{len(target)}"
        folder_.mkdir()
        (folder_ / "manifest.json").symlink_to(target)
        await refused(store, folder_, "is not in the directory")
    files = {"manifest.json": b'[{"Config": "../secret", "Layers": []}]'}
    await refused(store, spread(tmp_path / "climb", files), "is not in the directory")


async def test_links_in_an_archive(store: ImageStore, tmp_path: Path) -> None:
    """Older docker writes a layer that comes twice as a link."""
    made = image(LOWER, LOWER)
    saved = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    data = layer(
        ("a/layer.tar", LOWER),
        link("b/layer.tar", "../a/layer.tar"),
        ("config.json", made.blobs[made.config]),
        ("manifest.json", json.dumps(saved).encode()),
    )
    (tmp_path / "a.tar").write_bytes(data)
    await archive.load(store, str(tmp_path / "a.tar"))
    root = store.root(NAME)
    assert root is not None and len(root.layers) == 2


async def test_saved_archives_load_again(store: ImageStore, tmp_path: Path) -> None:
    for name, made in (("a:1", image(LOWER, UPPER)), ("b:1", image(LOWER, compress=False))):
        await archive.load(store, str(write(tmp_path / "in.tar", oci_files(made, name))))
    await archive.save(store, ["a:1", "b:1"], str(tmp_path / "out.tar"))
    other = ImageStore(str(tmp_path / "other"))
    await archive.load(other, str(tmp_path / "out.tar"))
    assert {(each.id, each.references) for each in await other.images()} == {
        (each.id, each.references) for each in await store.images()
    }
    other.close()
    with pytest.raises(ImageFailure, match="image 'nowhere' not found"):
        await archive.save(store, ["nowhere"], str(tmp_path / "x.tar"))


async def test_image_of_a_directory(store: ImageStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "x").write_text("x")
    (source / "bin" / "y").symlink_to("x")
    (source / "up").symlink_to("bin")
    first = await make.from_directory(store, str(source), "a:1", {"Cmd": ["/bin/x"]})
    os.utime(source / "bin" / "x", (1, 1))
    again = await make.from_directory(store, str(source), "b:1", {"Cmd": ["/bin/x"]})
    assert first.id == again.id and set(again.references) == {"docker.io/library/a:1", "docker.io/library/b:1"}
    assert content(store, "a:1") == [{"bin": "directory", "bin/x": "x", "bin/y": "-> x", "up": "-> bin"}]
    root = store.root("a:1")
    assert root is not None and root.config.cmd == ("/bin/x",)


GOOD = tar(docker_files(image(LOWER, UPPER, compress=False), NAME).items())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=some.lists(some.tuples(some.integers(0, len(GOOD) - 1), some.binary(min_size=1, max_size=6)), max_size=6),
    cut=some.none() | some.integers(0, len(GOOD)),
)
def test_any_bytes_are_refused_or_loaded(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]], cut: int | None
) -> None:
    tmp_path = tmp_path_factory.mktemp("fuzz")
    data = bytearray(GOOD)
    for at, part in changes:
        data[at : at + len(part)] = part
    (tmp_path / "a.tar").write_bytes(data[:cut])
    store = ImageStore(str(tmp_path / "store"))
    reason = ""
    try:
        asyncio.run(archive.load(store, str(tmp_path / "a.tar")))
    except ImageFailure as failure:
        reason = failure.reason
    store.close()
    assert reason in ("", "ErrImagePull", "InvalidImageName")
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "store"]
    assert not [name for name in os.listdir(store.content.directory) if name.startswith(".partial")]
    assert not [name for name in os.listdir(store.layers.directory) if name.startswith(".new")]
