"""Pulling from a registry: platforms, authentication, redirects, broken connections, refusals, and many at once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.host.containers import ImageFailure
from sampan.http.types import Request, Response
from sampan.images import documents
from sampan.images.store import ImageStore
from tests.images.build import ARCHITECTURE, digest, image, index, layer, listing
from tests.images.registry import Registry, broken, cut_off, error, registry

pytestmark = pytest.mark.kernel
ONE, TWO = layer(("one", b"1")), layer(("two", os.urandom(300_000)))


@pytest.fixture
async def server() -> AsyncIterator[Registry]:
    async with registry() as made:
        yield made


@pytest.fixture
async def store(server: Registry, tmp_path: Path) -> AsyncIterator[ImageStore]:
    made = ImageStore(str(tmp_path / "store"), server.puller())
    yield made
    made.close()


def only(part: str, answer: Response, times: int = 1000) -> object:
    """A fault: the first requests to a path get this answer."""
    left = [times]

    def fault(request: Request) -> Response | None:
        if part not in request.path or not left[0]:
            return None
        left[0] -= 1
        return answer

    return fault


async def refused(store: ImageStore, reference: str, words: str, **fields: object) -> ImageFailure:
    with pytest.raises(ImageFailure, match=words) as raised:
        await store.pull(reference, **fields)  # type: ignore[arg-type]
    assert await store.images() == []
    return raised.value


async def test_pull(server: Registry, store: ImageStore) -> None:
    made = image(ONE, TWO, Cmd=["/x"])
    reference = server.push(made, "v1")
    found = await store.pull(reference)
    assert (found.id, found.references, found.digests) == (
        made.config, (reference,), (f"{server.name}/team/app@{made.manifest}",),
    )  # fmt: skip
    root = store.root(reference)
    assert root is not None and root.reference == found.digests[0]
    assert [sorted(listing(path)) for path in root.layers] == [["two"], ["one"]]
    server.seen.clear()
    assert (await store.pull(reference)).id == made.config
    assert server.paths() == ["/v2/team/app/manifests/v1"]  # what is here is not fetched again
    assert server.seen[0].headers["accept"] == documents.ACCEPT


async def test_pull_by_digest(server: Registry, store: ImageStore) -> None:
    made = image(ONE)
    server.push(made, "v1")
    reference = f"{server.name}/team/app@{made.manifest}"
    found = await store.pull(reference)
    assert found.references == () and found.digests == (reference,)
    assert await store.image(reference) is not None
    both = await store.pull(f"{server.name}/team/app:v1@{made.manifest}")
    assert both.references == (f"{server.name}/team/app:v1",)


async def test_platform(server: Registry, store: ImageStore) -> None:
    mine, other = image(ONE), image(TWO, architecture="riscv64")
    top = index((other, "riscv64"), (mine, ARCHITECTURE))
    found = await store.pull(server.push(mine, "v1", top))
    assert found.id == mine.config and found.digests == (f"{server.name}/team/app@{digest(top)}",)
    assert not [path for path in server.paths("blobs") if path.rpartition("/")[2] in other.blobs]
    await store.remove(found.id)
    reference = server.push(other, "v2", index((other, "riscv64"), (other, "s390x")))
    failure = await refused(store, reference, r"no match for platform linux/.*: it has linux/riscv64, linux/s390x")
    assert failure.reason == "ErrImagePull"


async def test_docker_media_types(server: Registry, store: ImageStore) -> None:
    made = image(ONE)
    manifest = json.loads(made.blobs[made.manifest])
    manifest["mediaType"] = documents.DOCKER_MANIFEST
    made.manifest = made.put(json.dumps(manifest).encode())
    nested = json.loads(index((made, ARCHITECTURE)))
    nested["mediaType"] = documents.DOCKER_LIST
    nested["manifests"][0]["mediaType"] = documents.DOCKER_MANIFEST
    assert (await store.pull(server.push(made, "v1", json.dumps(nested).encode()))).id == made.config


@pytest.mark.parametrize("basic", [False, True])
async def test_credentials(server: Registry, store: ImageStore, basic: bool) -> None:
    server.user, server.basic = ("me", "secret"), basic
    reference = server.push(image(ONE), "v1")
    for pairs in ((), (("me", "wrong"),), (("you", "secret"), ("", ""))):
        failure = await refused(store, reference, "pull access denied.*authentication required", credentials=pairs)
        assert failure.reason == "ErrImagePull"
    found = await store.pull(reference, (("you", "wrong"), ("me", "secret")))
    assert found.references == (reference,)


async def test_anonymous_token(server: Registry, store: ImageStore) -> None:
    server.user, server.anonymous = ("me", "secret"), True
    await store.pull(server.push(image(ONE), "v1"))
    assert server.paths("token") == ["/token"]


async def test_redirects_do_not_get_the_credentials(server: Registry, store: ImageStore) -> None:
    server.user, server.redirect = ("me", "secret"), True
    await store.pull(server.push(image(ONE, TWO), "v1"), (("me", "secret"),))
    assert len(server.paths("/store/")) == 3


async def test_redirects_end(server: Registry, store: ImageStore) -> None:
    reference = server.push(image(ONE), "v1")
    server.faults.append(only("blobs", Response(302, headers=[("location", "/v2/team/app/blobs/again")])))
    await refused(store, reference, "more than 5 redirects")
    server.faults[:] = [only("blobs", Response(302, headers=[("location", "file:///etc/passwd")]))]
    await refused(store, reference, "redirect to 'file:///etc/passwd' refused")


async def test_broken_connections_go_on_where_they_stopped(server: Registry, store: ImageStore) -> None:
    large = layer(("large", os.urandom(6_000_000)))
    made = image(large, compress=False)
    async with cut_off(large, 2_000_000) as (url, ranges):
        server.faults.append(only(digest(large), Response(307, headers=[("location", url)])))
        await store.pull(server.push(made, "v1"))
    assert ranges == ["", *(f"bytes={at}-" for at in range(2_000_000, len(large), 2_000_000))]


async def test_registry_that_ignores_ranges(server: Registry, store: ImageStore) -> None:
    made = image(TWO, compress=False)
    blob = digest(TWO)

    def stubborn(request: Request) -> Response | None:
        if blob not in request.path:
            return None
        if len(server.paths(blob)) == 1:
            return Response(200, broken(TWO, 100_000), [("content-length", str(len(TWO)))])
        return Response(200, TWO)

    server.faults.append(stubborn)
    await store.pull(server.push(made, "v1"))


async def test_connection_that_breaks_again_and_again(server: Registry, store: ImageStore) -> None:
    reference = server.push(image(TWO, compress=False), "v1")
    length = [("content-length", str(len(TWO)))]

    def cut(request: Request) -> Response | None:
        return Response(200, broken(TWO, 10), length) if digest(TWO) in request.path else None

    server.faults.append(cut)
    failure = await refused(store, reference, f"failed to do request to http://{server.name}")
    assert failure.reason == "ErrImagePull" and len(server.paths(digest(TWO))) in (3, 4)
    server.faults.clear()
    await store.pull(reference)


async def test_leftover_that_is_too_long(server: Registry, store: ImageStore) -> None:
    """What an older attempt left is longer than the blob: the registry answers 416, and it starts again."""
    path = Path(store.content.directory, f".partial-{digest(ONE)[7:]}")
    path.write_bytes(ONE + b"more")
    await store.pull(server.push(image(ONE, compress=False), "v1"))
    assert not path.exists()


@pytest.mark.parametrize(
    ("answer", "words", "reason"),
    [
        (
            error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            "failed to resolve reference .*: not found",
            "ErrImagePull",
        ),
        (error(403, "DENIED", "requested access is denied"), "pull access denied.*requested access", "ErrImagePull"),
        (error(401, "UNAUTHORIZED", "who are you"), "pull access denied.*who are you", "ErrImagePull"),
        (error(500, "UNKNOWN", "oh"), "registry answered 500: unknown: oh", "RegistryUnavailable"),
        (Response(503, b"<html>"), "registry answered 503: unexpected status 503", "RegistryUnavailable"),
        (error(429, "TOOMANYREQUESTS", "slow down"), "registry answered 429: .*slow down", "RegistryUnavailable"),
        (Response(200, b"[1]"), "invalid manifest", "ErrImagePull"),
        (Response(200, b"{"), "invalid manifest", "ErrImagePull"),
        (Response(200, b'{"manifests": []}'), "no match for platform", "ErrImagePull"),
        (Response(200, b" " * (9 << 20)), "response is larger", "ErrImagePull"),
    ],
)
async def test_refusals(server: Registry, store: ImageStore, answer: Response, words: str, reason: str) -> None:
    reference = server.push(image(ONE), "v1")
    server.faults.append(only("manifests", answer))
    failure = await refused(store, reference, words)
    assert failure.reason == reason and f'failed to pull and unpack image "{reference}"' in str(failure)


async def test_nobody_answers(server: Registry, store: ImageStore) -> None:
    failure = await refused(
        store, "127.0.0.1:1/team/app:v1", r"failed to do request to https://127.0.0.1:1: cannot connect"
    )
    assert failure.reason == "ErrImagePull" and "http://127.0.0.1:1" in str(failure)
    assert (await refused(store, "Not/A name", "couldn't parse image name")).reason == "InvalidImageName"


async def test_without_a_registry(tmp_path: Path) -> None:
    alone = ImageStore(str(tmp_path))
    assert (await refused(alone, "x:1", "no registry is configured")).reason == "RegistryUnavailable"
    alone.close()


async def test_content_that_is_not_what_it_claims(server: Registry, store: ImageStore) -> None:
    made = image(ONE, TWO)
    reference = server.push(made, "v1")
    blob = json.loads(made.blobs[made.manifest])["layers"][0]["digest"]
    for wrong in (made.blobs[blob][:-1] + b"?", made.blobs[blob] + b"more"):
        server.blobs[blob] = wrong
        await refused(store, reference, "content has digest|larger than its")
    server.blobs[blob] = made.blobs[blob]
    server.manifests[made.manifest] = b"{}"
    await refused(store, f"{server.name}/team/app@{made.manifest}", "manifest has digest .*, expected")
    assert f".partial-{blob[7:]}" not in os.listdir(store.content.directory)
    await store.pull(reference)


async def test_layers_that_are_not_what_the_configuration_says(server: Registry, store: ImageStore) -> None:
    made, other = image(ONE), image(TWO)
    manifest = json.loads(made.blobs[made.manifest])
    manifest["layers"] = json.loads(other.blobs[other.manifest])["layers"]
    made.blobs.update(other.blobs)
    made.manifest = made.put(json.dumps(manifest).encode())
    await refused(store, server.push(made, "v1"), "the image's configuration says")


async def test_the_same_pull_at_once_is_one(server: Registry, store: ImageStore) -> None:
    reference = server.push(image(ONE, TWO), "v1")
    found = await asyncio.gather(*(store.pull(reference) for _ in range(8)))
    assert len({each.id for each in found}) == 1
    assert len(server.paths("manifests")) == 1 and len(server.paths("blobs")) == 3


async def test_different_pulls_share_their_layers(server: Registry, store: ImageStore) -> None:
    references = [server.push(image(TWO, Name=name), name) for name in ("a", "b", "c")]
    found = await asyncio.gather(*(store.pull(reference) for reference in references))
    assert len({each.id for each in found}) == 3
    assert len(server.paths("blobs")) == 4  # three configurations and one layer


async def test_credentials_do_not_mix(server: Registry, store: ImageStore) -> None:
    """Who has no right to an image does not get it by asking while another pulls it."""
    server.user = ("me", "secret")
    reference = server.push(image(ONE), "v1")
    results = await asyncio.gather(
        store.pull(reference, (("me", "secret"),)), store.pull(reference), return_exceptions=True
    )
    assert not isinstance(results[0], BaseException) and isinstance(results[1], ImageFailure)


async def test_one_who_gives_up_does_not_stop_the_others(server: Registry, store: ImageStore) -> None:
    server.gate = asyncio.Event()
    reference = server.push(image(ONE), "v1")
    tasks = [asyncio.create_task(store.pull(reference)) for _ in range(3)]
    while not server.paths("blobs"):
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    server.gate.set()
    assert (await tasks[1]).id == (await tasks[2]).id and tasks[0].cancelled()


async def test_all_who_give_up_stop_it(server: Registry, store: ImageStore) -> None:
    server.gate = asyncio.Event()
    reference = server.push(image(ONE), "v1")
    tasks = [asyncio.create_task(store.pull(reference)) for _ in range(2)]
    while not server.paths("blobs"):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    server.gate.set()
    assert await store.images() == []
    assert (await store.pull(reference)).references == (reference,)


async def test_mirrors_come_first(server: Registry, tmp_path: Path) -> None:
    mirrors = {"registry.example": ("http://127.0.0.1:1/nowhere", f"http://{server.name}")}
    store = ImageStore(str(tmp_path / "mirrored"), server.puller(mirrors=mirrors))
    server.user = ("me", "secret")
    server.push(image(ONE), "v1")
    found = await store.pull("registry.example/team/app:v1", (("me", "secret"),))
    assert found.references == ("registry.example/team/app:v1",)
    store.close()


async def test_pulls_and_removals_together(server: Registry, store: ImageStore) -> None:
    reference = server.push(image(ONE, TWO), "v1")
    said: list[str] = []

    async def churn() -> None:
        for _ in range(5):
            try:
                found = await store.pull(reference)
                await store.remove(found.id)
            except ImageFailure as failure:
                said.append(str(failure))

    await asyncio.gather(*(churn() for _ in range(4)))
    assert all("removed meanwhile" in each or "failed to unpack" in each for each in said)
    assert (await store.pull(reference)).references == (reference,)
