from __future__ import annotations

from pathlib import Path

from sampan.images import held, make
from sampan.images.held import Needs
from sampan.images.store import ImageStore


async def test_content_that_somebody_holds_outlives_its_image(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_text("content")
    image = await make.from_directory(store, str(tmp_path / "files"), "web:1", {})
    record = store.find("web:1")
    assert record is not None
    entry = f"{store.root_directory}/held/build/x.json"
    held.write(entry, Needs((record.blobs[-1],), record.layers))
    await store.remove(image.id)
    assert await store.collect() == 0
    assert store.content.has(record.blobs[-1]) and store.layers.has(record.layers[0])
    assert not store.content.has(record.manifest)
    assert held.drop(entry) and not held.drop(entry)
    assert await store.collect() > 0
    assert not store.content.has(record.blobs[-1]) and not store.layers.has(record.layers[0])


async def test_a_file_that_a_power_loss_left_empty_holds_nothing(store: ImageStore) -> None:
    held.write(f"{store.root_directory}/held/x.json", Needs(("sha256:" + "0" * 64,)))
    Path(f"{store.root_directory}/held/y.json").write_text("")
    assert store.held.needs() == ({"sha256:" + "0" * 64}, set())
