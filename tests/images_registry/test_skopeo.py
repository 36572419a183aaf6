"""The real skopeo against the registry over loopback: what others' clients really do."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sampan.images import make
from tests.images import build
from tests.images_registry.conftest import Place

pytestmark = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


async def skopeo(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "skopeo", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def inspected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    return found


@pytest.fixture
def image(tmp_path: Path) -> build.Made:
    layers = [build.layer((f"file{n}", bytes(range(256)) * 40 * n)) for n in range(1, 4)]
    return build.image(*layers, Cmd=["/file1"])


@pytest.fixture
def layout(tmp_path: Path, image: build.Made) -> str:
    return f"oci:{build.spread(tmp_path / 'layout', build.oci_files(image))}"


async def test_in_and_out_again(place: Place, layout: str, image: build.Made, tmp_path: Path) -> None:
    name = f"{place.host}/team/app:v1"
    await skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{name}")
    found = await inspected(name)
    assert found["Digest"] == image.manifest and len(found["Layers"]) == 3
    await skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == image.blobs[image.manifest]
    for digest, data in image.blobs.items():
        if digest != image.manifest:
            assert (tmp_path / "out" / digest[7:]).read_bytes() == data


async def test_what_is_here_is_not_sent_again(place: Place, layout: str) -> None:
    seen: list[tuple[str, str]] = []
    handle = place.registry.handle

    async def watching(request: Any) -> Any:
        seen.append((request.method, request.path))
        return await handle(request)

    await skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{place.host}/first:1")
    place.registry.handle = watching  # type: ignore[method-assign]
    from sampan.http.server import Server

    front = Server(watching)
    port = await front.listen("127.0.0.1", 0)
    try:
        await skopeo("copy", "--dest-tls-verify=false", layout, f"docker://127.0.0.1:{port}/second:1")
    finally:
        await front.close(0)
    assert not [path for method, path in seen if method in ("PATCH", "POST")]
    assert [path for method, path in seen if method == "PUT"] == ["/v2/second/manifests/1"]


async def test_tags_and_deletion(place: Place, layout: str) -> None:
    for tag in ("1", "2", "latest"):
        await skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{place.host}/app:{tag}")
    listed = json.loads(await skopeo("list-tags", "--tls-verify=false", f"docker://{place.host}/app"))
    assert listed["Tags"] == ["1", "2", "latest"]
    await skopeo("delete", "--tls-verify=false", f"docker://{place.host}/app:2")
    answer = await place.send("GET", "/v2/app/manifests/1")
    assert answer.status == 404  # skopeo deletes what a tag leads to, and with it every tag


async def test_an_index_of_several_platforms(place: Place, tmp_path: Path, image: build.Made) -> None:
    other = build.image(build.layer(("other", b"x" * 100)), architecture="s390x")
    top = build.index((image, build.ARCHITECTURE), (other, "s390x"))
    files = build.oci_files(image)
    files |= build.oci_files(other)
    digest = build.digest(top)
    files[f"blobs/sha256/{digest[7:]}"] = top
    entry = {"mediaType": build.documents.INDEX, "digest": digest, "size": len(top)}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    layout = f"oci:{build.spread(tmp_path / 'index', files)}"
    name = f"{place.host}/multi:1"
    await skopeo("copy", "--all", "--dest-tls-verify=false", layout, f"docker://{name}")
    raw = await skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    assert raw.encode() == top
    assert (await place.send("GET", f"/v2/multi/manifests/{other.manifest}")).status == 200


async def test_an_image_of_the_node_is_served_without_a_push(place: Place, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "hello").write_text("hello")
    name = f"{place.host}/built/here:1"
    image = await make.from_directory(place.store, str(tmp_path / "files"), name, {"Cmd": ["/hello"]})
    found = await inspected(name)
    record = place.store.find(image.id)
    assert record is not None and found["Digest"] == record.manifest
    await skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path / 'out'}")


async def test_what_was_pushed_runs_without_a_second_copy(place: Place, layout: str, image: build.Made) -> None:
    from sampan.images.pull import Puller, Registries
    from sampan.images.store import ImageStore

    name = f"{place.host}/team/app:v1"
    await skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{name}")
    from sampan.http.client import HttpTransport

    puller = Puller(HttpTransport, Registries(insecure=frozenset({place.host})))
    node = ImageStore(place.store.root_directory, puller)
    seen = set(place.store.content.digests())
    pulled = await node.pull(name)
    assert pulled.id == image.config and name in pulled.references
    assert set(place.store.content.digests()) == seen
    assert node.root(name) is not None
    node.close()
