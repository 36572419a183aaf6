"""Images on their way between this house and others: skopeo's formats and docker's archives, in and out.

The docker client itself is not asked: without its engine it neither loads nor saves. What it writes and reads is
checked against the layout that its engine documents, and skopeo reads and writes the same.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sampan.images import archive, documents
from sampan.images.store import ImageStore, Record
from tests.images import build
from tests.images_registry.conftest import Place
from tests.images_registry.test_skopeo import inspected, skopeo

pytestmark = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")

NAME = "docker.io/team/app:v1"


@pytest.fixture
def image() -> build.Made:
    base = build.layer(build.folder("etc"), ("etc/name", b"base"), ("bin", bytes(range(256)) * 400))
    return build.image(base, build.layer(("etc/name", b"app"), ("etc/.wh.gone", b"")), Cmd=["/bin"], Env=["A=b"])


@pytest.fixture
def layout(tmp_path: Path, image: build.Made) -> str:
    return f"oci:{build.spread(tmp_path / 'layout', build.oci_files(image))}"


def found(store: ImageStore, name: str = NAME) -> Record:
    record = store.find(name)
    assert record is not None
    return record


def check(store: ImageStore, record: Record, image: build.Made) -> None:
    """The same configuration and the same files, whatever the layers were packed in."""
    config, ours = json.loads(image.blobs[image.config]), json.loads(store.content.read(record.id))
    assert ours["config"] == config["config"] and ours["rootfs"] == config["rootfs"]
    bottom, top = (Path(store.layers.path(layer)) for layer in record.layers)
    assert (bottom / "etc/name").read_text() == "base" and (top / "etc/name").read_text() == "app"
    assert len((bottom / "bin").read_bytes()) == 256 * 400


def manifest(store: ImageStore, record: Record) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(store.content.read(record.manifest))
    return decoded


# --- through the registry


@pytest.mark.parametrize(
    ("options", "kind", "layer"),
    [
        (("--format", "v2s2"), documents.DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (("--format", "oci"), documents.MANIFEST, documents.LAYER_GZIP),
        (("--format", "oci", "--dest-compress-format", "zstd"), documents.MANIFEST, documents.LAYER_ZSTD),
    ],
)
async def test_every_format_that_skopeo_pushes_runs_here_and_comes_out_again(
    place: Place, layout: str, image: build.Made, tmp_path: Path, options: tuple[str, ...], kind: str, layer: str
) -> None:
    name = f"{place.host}/team/app:v1"
    if layer == documents.LAYER_ZSTD:  # an uncompressed source is compressed as asked for
        plain = build.image(*image.layers, compress=False, Cmd=["/bin"], Env=["A=b"])
        layout = f"oci:{build.spread(tmp_path / 'plain', build.oci_files(plain))}"
    await skopeo("copy", *options, "--dest-tls-verify=false", layout, f"docker://{name}")
    answer = await place.send("GET", "/v2/team/app/manifests/v1", headers={"accept": documents.ACCEPT})
    assert answer.status == 200 and answer.headers["content-type"] == kind
    pushed = json.loads(answer.body)
    assert {each["mediaType"] for each in pushed["layers"]} == {layer}
    await place.store.add(f"sha256:{hashlib.sha256(answer.body).hexdigest()}", [NAME])
    check(place.store, found(place.store), image)
    # skopeo itself refuses to turn zstd layers into docker's kind
    out = "oci-archive" if layer == documents.LAYER_ZSTD else "docker-archive"
    await skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"{out}:{tmp_path / 'out.tar'}:{NAME}")
    other = ImageStore(str(tmp_path / "other"))
    await archive.load(other, str(tmp_path / "out.tar"))
    check(other, found(other), image)
    other.close()


async def test_an_index_of_docker_s_kind(place: Place, image: build.Made) -> None:
    """A manifest list, as docker buildx pushed for years: it is kept as it is, and led through by platform."""
    other = build.image(build.layer(("other", b"x")), architecture="s390x")
    for made in (image, other):
        for digest, data in made.blobs.items():
            if digest == made.manifest:
                put = await place.send(
                    "PUT", f"/v2/multi/manifests/{digest}", data, {"content-type": documents.MANIFEST}
                )
            else:
                put = await place.push_blob("multi", data, digest)
            assert put.status == 201
    top = json.loads(build.index((image, build.ARCHITECTURE), (other, "s390x")))
    body = json.dumps({**top, "mediaType": documents.DOCKER_LIST}).encode()
    put = await place.send("PUT", "/v2/multi/manifests/1", body, {"content-type": documents.DOCKER_LIST})
    assert put.status == 201
    raw = await skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{place.host}/multi:1")
    assert raw.encode() == body
    assert len((await inspected(f"{place.host}/multi:1"))["Layers"]) == 2
    where = ("--override-arch", "s390x", "inspect", "--tls-verify=false", f"docker://{place.host}/multi:1")
    assert json.loads(await skopeo(*where))["Architecture"] == "s390x"


# --- archives


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "dir-of-oci"])
async def test_archives_of_skopeo_are_loaded(tmp_path: Path, layout: str, image: build.Made, kind: str) -> None:
    path = tmp_path / "archive"
    target = f"oci:{path}:v1" if kind == "dir-of-oci" else f"{kind}:{path}:{NAME}"
    await skopeo("copy", layout, target)
    store = ImageStore(str(tmp_path / "store"))
    (loaded,) = await archive.load(store, str(path), NAME if kind == "dir-of-oci" else "")
    assert loaded.references[0] == NAME
    check(store, found(store), image)
    store.close()


@pytest.mark.parametrize("compressed", ["gzip layers", "zstd layers", "a gzipped archive"])
async def test_docker_archives_with_compression(tmp_path: Path, image: build.Made, compressed: str) -> None:
    import zstandard

    files = build.docker_files(image, "team/app:v1")
    pack = {"gzip layers": gzip.compress, "zstd layers": zstandard.ZstdCompressor().compress}.get(compressed)
    if pack is not None:
        files = {name: pack(data) if name.endswith(".tar") else data for name, data in files.items()}
    path = build.write(tmp_path / "a.tar", files)
    if pack is None:
        path.write_bytes(gzip.compress(path.read_bytes()))
    store = ImageStore(str(tmp_path / "store"))
    await archive.load(store, str(path))
    check(store, found(store), image)
    kinds = {each["mediaType"] for each in manifest(store, found(store))["layers"]}
    wanted = {"gzip layers": documents.LAYER_GZIP, "zstd layers": documents.LAYER_ZSTD}
    assert kinds == {wanted.get(compressed, documents.LAYER)}
    store.close()


async def saved(tmp_path: Path, image: build.Made, *more: str) -> tuple[Path, Record]:
    store = ImageStore(str(tmp_path / "store"))
    source = build.spread(tmp_path / "in", build.oci_files(image))
    await archive.load(store, str(source), NAME)
    await archive.save(store, [NAME, *more], str(tmp_path / "saved.tar"))
    record = found(store)
    store.close()
    return tmp_path / "saved.tar", record


@pytest.mark.parametrize("source", ["docker-archive:{path}:" + NAME, "oci-archive:{path}:v1"])
async def test_skopeo_reads_what_we_save(tmp_path: Path, image: build.Made, source: str) -> None:
    path, record = await saved(tmp_path, image)
    shown = json.loads(await skopeo("inspect", "--config", source.format(path=path)))
    assert shown["config"]["Cmd"] == ["/bin"] and shown["rootfs"]["diff_ids"] == list(record.layers)
    await skopeo("copy", source.format(path=path), f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out/manifest.json").exists()


async def test_what_we_save_is_laid_out_as_docker_s_engine_writes_it(tmp_path: Path, image: build.Made) -> None:
    path, record = await saved(tmp_path, image)
    with tarfile.open(path, "r:") as opened:
        names = opened.getnames()
        assert len(names) == len(set(names)) and all(not name.startswith(("/", ".")) for name in names)

        def read(name: str) -> bytes:
            file = opened.extractfile(name)
            assert file is not None
            return file.read()

        assert json.loads(read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
        (entry,) = json.loads(read("manifest.json"))
        assert set(entry) == {"Config", "RepoTags", "Layers"} and entry["RepoTags"] == [NAME]
        config = json.loads(read(entry["Config"]))
        assert entry["Config"] == f"blobs/sha256/{record.id.removeprefix('sha256:')}"
        for layer, diff_id in zip(entry["Layers"], config["rootfs"]["diff_ids"], strict=True):
            data = read(layer)
            assert layer == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
            plain = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
            assert diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
        (descriptor,) = json.loads(read("index.json"))["manifests"]
        data = read(f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}")
        assert descriptor["size"] == len(data) and json.loads(data)["config"]["digest"] == record.id
        assert all(member.isreg() for member in opened.getmembers())


async def test_two_images_in_one_archive_share_their_layers(tmp_path: Path, image: build.Made) -> None:
    store = ImageStore(str(tmp_path / "store"))
    for number in ("1", "2"):
        made = build.image(*image.layers, Cmd=[f"/{number}"])
        await archive.load(store, str(build.spread(tmp_path / number, build.oci_files(made))), f"team/app:{number}")
    await archive.save(store, ["team/app:1", "team/app:2"], str(tmp_path / "both.tar"))
    store.close()
    for number in ("1", "2"):
        source = f"docker-archive:{tmp_path / 'both.tar'}:docker.io/team/app:{number}"
        assert json.loads(await skopeo("inspect", "--config", source))["config"]["Cmd"] == [f"/{number}"]
    with tarfile.open(tmp_path / "both.tar") as opened:
        assert len([name for name in opened.getnames() if name.startswith("blobs/")]) == 2 + 2 * 2
