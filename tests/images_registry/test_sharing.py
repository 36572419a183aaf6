"""The registry and the node share their content: what that means for names, deletion and collection."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sampan.http.client import HttpTransport
from sampan.images import make
from sampan.images.pull import Registries
from sampan.images.reference import parse
from sampan.images.registry.push import Pusher
from tests.images import build
from tests.images_registry.conftest import Place, serving
from tests.images_registry.test_manifests import image, push


async def built(place: Place, tmp_path: Path, name: str, text: str = "built") -> str:
    """An image made on the node; returns its manifest's digest."""
    directory = tmp_path / f"files-{text}"
    directory.mkdir(exist_ok=True)
    (directory / "file").write_text(text)
    made = await make.from_directory(place.store, str(directory), name, {"Cmd": ["/file"]})
    record = place.store.find(made.id)
    assert record is not None
    return record.manifest


async def test_what_got_the_name_last_counts(place: Place, tmp_path: Path) -> None:
    async def tagged() -> str:
        return (await place.send("HEAD", "/v2/app/manifests/v1")).headers["docker-content-digest"]

    first = image("first")
    await push(place, "app", first, "v1")
    assert await tagged() == first.manifest
    local = await built(place, tmp_path, f"{place.host}/app:v1")
    assert await tagged() == local
    assert (await place.send("GET", f"/v2/app/manifests/{local}")).status == 200
    second = image("second")
    await push(place, "app", second, "v1")
    assert await tagged() == second.manifest
    newer = await built(place, tmp_path, f"{place.host}/app:v1", "newer")
    assert await tagged() == newer
    assert json.loads((await place.send("GET", "/v2/app/tags/list")).body)["tags"] == ["v1"]


async def test_a_name_of_the_node_is_deleted_with_its_tag(place: Place, tmp_path: Path) -> None:
    await built(place, tmp_path, f"{place.host}/app:v1")
    assert (await place.send("DELETE", "/v2/app/manifests/v1")).status == 202
    assert place.store.find(f"{place.host}/app:v1") is None
    manifest = await built(place, tmp_path, f"{place.host}/app:v2")
    assert (await place.send("DELETE", f"/v2/app/manifests/{manifest}")).status == 202
    assert (await place.send("GET", "/v2/app/tags/list")).code == "NAME_UNKNOWN"


async def test_other_names_of_the_node_are_nobody_s_business(place: Place, tmp_path: Path) -> None:
    manifest = await built(place, tmp_path, "web:1")
    assert (await place.send("GET", "/v2/library/web/manifests/1")).code == "NAME_UNKNOWN"
    assert (await place.send("GET", f"/v2/web/manifests/{manifest}")).status == 404


async def test_removing_the_node_s_image_leaves_what_was_pushed(place: Place, tmp_path: Path) -> None:
    name = f"{place.host}/app:v1"
    await built(place, tmp_path, name)
    record = place.store.find(name)
    assert record is not None
    pusher = Pusher(HttpTransport, Registries(insecure=frozenset({place.host})))
    pushed = await pusher.push(record, parse(name), place.store)
    assert pushed.sent == 0 and pushed.blobs == 2
    await place.store.remove(record.id)
    await place.store.collect()
    got = await place.send("GET", "/v2/app/manifests/v1")
    assert got.status == 200
    for part in (json.loads(got.body)["config"], *json.loads(got.body)["layers"]):
        assert (await place.send("GET", f"/v2/app/blobs/{part['digest']}")).status == 200


async def test_pushing_to_another_registry_sends_what_it_lacks(place: Place, tmp_path: Path) -> None:
    async with serving(tmp_path / "other") as other:
        await built(place, tmp_path, "web:1")
        record = place.store.find("web:1")
        assert record is not None
        pusher = Pusher(HttpTransport, Registries(insecure=frozenset({other.host})))
        pushed = await pusher.push(record, parse(f"{other.host}/web:1"), place.store)
        assert (pushed.sent, pushed.blobs) == (2, 2)
        assert (await other.send("GET", "/v2/web/manifests/1")).headers["docker-content-digest"] == record.manifest
        again = await pusher.push(record, parse(f"{other.host}/web:2"), place.store)
        assert again.sent == 0


async def test_collection_takes_what_nobody_needs(place: Place) -> None:
    kept, gone = image("kept"), image("gone")
    await push(place, "app", kept, "v1")
    await push(place, "app", gone, "v2")
    await place.push_blob("app", b"orphan", build.digest(b"orphan"))
    repositories = place.registry.repositories
    assert await place.store.collect() == 0
    await place.send("DELETE", f"/v2/app/manifests/{gone.manifest}")
    assert repositories.expire() == 0  # all of it may still wait for a manifest
    assert repositories.expire(age=-1) > 0
    assert await place.store.collect() > 0
    assert set(place.store.content.digests()) == set(kept.blobs)
    assert (await place.send("GET", "/v2/app/manifests/v1")).status == 200


async def test_manifests_without_a_tag_stay_a_while(place: Place) -> None:
    one, two = image("one"), image("two")
    await push(place, "app", one, "v1")
    await push(place, "app", two, "v1")
    repositories = place.registry.repositories
    assert repositories.prune() == 0
    assert repositories.prune(age=-1) == 1
    assert repositories.find("app", one.manifest) is None and repositories.find("app", two.manifest) is not None


async def test_an_empty_repository_leaves_no_directory(place: Place) -> None:
    made = image()
    await push(place, "team/app", made, "v1")
    await place.send("DELETE", f"/v2/team/app/manifests/{made.manifest}")
    assert os.listdir(f"{place.store.root_directory}/held/registry") == ["_uploaded"]
    assert place.registry.repositories.names() == []
    await push(place, "team/app", made, "v1")
    await push(place, "team/app/sub", made, "v1")
    await place.send("DELETE", f"/v2/team/app/manifests/{made.manifest}")
    assert place.registry.repositories.names() == ["team/app/sub"]


async def test_a_damaged_entry_is_not_there(place: Place) -> None:
    made = image()
    await push(place, "app", made, "v1")
    path = Path(place.store.root_directory, "held/registry/app")
    (path / "_tags" / "v1").write_bytes(b"")
    assert (await place.send("GET", "/v2/app/manifests/v1")).code == "MANIFEST_UNKNOWN"
    (path / "_manifests" / f"{made.manifest[7:]}.json").write_bytes(b"{")
    assert (await place.send("GET", f"/v2/app/manifests/{made.manifest}")).status == 404
