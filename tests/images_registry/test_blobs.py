from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.images.registry import uploads
from tests.images.build import digest
from tests.images_registry.conftest import Place

DATA = bytes(range(256)) * 1024
NAME = digest(DATA)


async def test_it_says_what_it_is(place: Place) -> None:
    answer = await place.send("GET", "/v2/")
    assert answer.status == 200 and answer.headers["docker-distribution-api-version"] == "registry/2.0"
    assert (await place.send("HEAD", "/v2/")).status == 200


async def test_a_blob_in_one_request(place: Place) -> None:
    answer = await place.push_blob("team/app", DATA, NAME)
    assert answer.status == 201 and answer.headers["location"] == f"/v2/team/app/blobs/{NAME}"
    assert answer.headers["docker-content-digest"] == NAME
    got = await place.send("GET", f"/v2/team/app/blobs/{NAME}")
    assert got.body == DATA and got.headers["content-length"] == str(len(DATA))
    head = await place.send("HEAD", f"/v2/team/app/blobs/{NAME}")
    assert head.status == 200 and head.headers["content-length"] == str(len(DATA)) and head.body == b""
    cached = await place.send("GET", f"/v2/team/app/blobs/{NAME}", headers={"if-none-match": f'"{NAME}"'})
    assert cached.status == 304


async def test_a_blob_in_a_session(place: Place) -> None:
    started = await place.send("POST", "/v2/app/blobs/uploads/")
    assert started.status == 202 and started.headers["range"] == "0-0"
    location = started.headers["location"]
    put = await place.send("PUT", f"{location}?digest={NAME}", DATA)
    assert put.status == 201
    assert (await place.send("GET", location)).code == "BLOB_UPLOAD_UNKNOWN"
    assert len(place.registry.uploads) == 0


async def test_a_blob_in_chunks(place: Place) -> None:
    location = (await place.send("POST", "/v2/app/blobs/uploads/")).headers["location"]
    half = len(DATA) // 2
    first = await place.send("PATCH", location, DATA[:half], {"content-range": f"0-{half - 1}"})
    assert first.status == 202 and first.headers["range"] == f"0-{half - 1}"
    wrong = await place.send("PATCH", location, DATA[:10], {"content-range": "0-9"})
    assert wrong.status == 416 and wrong.headers["range"] == f"0-{half - 1}"
    where = await place.send("GET", location)
    assert where.status == 204 and where.headers["range"] == f"0-{half - 1}"
    second = await place.send("PATCH", location, DATA[half:], {"content-range": f"{half}-{len(DATA) - 1}"})
    assert second.headers["range"] == f"0-{len(DATA) - 1}"
    assert (await place.send("PUT", f"{location}?digest={NAME}")).status == 201
    assert place.store.content.read(NAME) == DATA


async def test_the_last_chunk_may_come_with_the_digest(place: Place) -> None:
    location = (await place.send("POST", "/v2/app/blobs/uploads/")).headers["location"]
    await place.send("PATCH", location, DATA[:100])
    headers = {"content-range": f"100-{len(DATA) - 1}"}
    assert (await place.send("PUT", f"{location}?digest={NAME}", DATA[100:], headers)).status == 201


async def test_ranges_that_disagree_are_refused(place: Place) -> None:
    location = (await place.send("POST", "/v2/app/blobs/uploads/")).headers["location"]
    assert (await place.send("PATCH", location, b"abc", {"content-range": "0-9"})).status == 400
    assert (await place.send("PATCH", location, b"abc", {"content-range": "all"})).code == "BLOB_UPLOAD_INVALID"
    assert (await place.send("DELETE", location)).status == 204
    assert (await place.send("PATCH", location, b"abc")).code == "BLOB_UPLOAD_UNKNOWN"


async def test_a_stream_larger_than_memory_would_like(place: Place) -> None:
    chunks = [bytes([n]) * 700_000 for n in range(12)]
    whole = b"".join(chunks)

    class Body:
        async def read(self, limit: int) -> bytes:
            return whole

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    location = (await place.send("POST", "/v2/app/blobs/uploads/")).headers["location"]
    sent = await place.send("PATCH", location, Body())
    assert sent.status == 202 and sent.headers["range"] == f"0-{len(whole) - 1}"
    assert (await place.send("PUT", f"{location}?digest={digest(whole)}")).status == 201
    assert (await place.send("GET", f"/v2/app/blobs/{digest(whole)}")).body == whole


async def test_a_wrong_digest_leaves_nothing(place: Place) -> None:
    answer = await place.push_blob("app", DATA, digest(b"other"))
    assert answer.status == 400 and answer.code == "DIGEST_INVALID"
    location = (await place.send("POST", "/v2/app/blobs/uploads/")).headers["location"]
    assert (await place.send("PUT", f"{location}?digest={digest(b'x')}", DATA)).code == "DIGEST_INVALID"
    assert (await place.send("PUT", f"{location}?digest={NAME}", DATA)).code == "BLOB_UPLOAD_UNKNOWN"
    assert list(place.store.content.digests()) == []


async def test_digests_that_nobody_knows(place: Place) -> None:
    for bad in ("sha512:" + "0" * 128, "md5:0", "sha256:xyz", "latest"):
        assert (await place.send("GET", f"/v2/app/blobs/{bad}")).code == "DIGEST_INVALID"
    assert (await place.send("GET", f"/v2/app/blobs/{NAME}")).code == "BLOB_UNKNOWN"


async def test_a_blob_is_mounted_from_elsewhere(place: Place) -> None:
    await place.push_blob("first", DATA, NAME)
    mounted = await place.send("POST", f"/v2/second/blobs/uploads/?mount={NAME}&from=first")
    assert mounted.status == 201 and mounted.headers["location"] == f"/v2/second/blobs/{NAME}"
    missing = digest(b"missing")
    assert (await place.send("POST", f"/v2/second/blobs/uploads/?mount={missing}&from=first")).status == 202


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=100-", 100, len(DATA) - 1),
        ("bytes=-5", len(DATA) - 5, len(DATA) - 1),
        ("bytes=5-99999999", 5, len(DATA) - 1),
        ("bytes=70000-200000", 70000, 200000),
    ],
)
async def test_a_part_of_a_blob(place: Place, wanted: str, first: int, last: int) -> None:
    await place.push_blob("app", DATA, NAME)
    answer = await place.send("GET", f"/v2/app/blobs/{NAME}", headers={"range": wanted})
    assert answer.status == 206 and answer.body == DATA[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"


@pytest.mark.parametrize("wanted", [f"bytes={len(DATA)}-", "bytes=9-1", "bytes=-0"])
async def test_a_part_that_is_not_there(place: Place, wanted: str) -> None:
    await place.push_blob("app", DATA, NAME)
    answer = await place.send("GET", f"/v2/app/blobs/{NAME}", headers={"range": wanted})
    assert answer.status == 416 and answer.headers["content-range"] == f"bytes */{len(DATA)}"


async def test_ranges_that_are_none_get_the_whole(place: Place) -> None:
    await place.push_blob("app", DATA, NAME)
    for wanted in ("bytes=0-1,3-4", "lines=1-2", "bytes=-"):
        assert (await place.send("GET", f"/v2/app/blobs/{NAME}", headers={"range": wanted})).body == DATA


async def test_an_empty_blob(place: Place) -> None:
    assert (await place.push_blob("app", b"", digest(b""))).status == 201
    answer = await place.send("GET", f"/v2/app/blobs/{digest(b'')}")
    assert answer.status == 200 and answer.body == b""


async def test_deleting_a_blob(place: Place) -> None:
    await place.push_blob("app", DATA, NAME)
    assert (await place.send("DELETE", f"/v2/app/blobs/{NAME}")).status == 202
    assert (await place.send("DELETE", f"/v2/app/blobs/{NAME}")).code == "BLOB_UNKNOWN"


async def test_sessions_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SESSIONS", 2)
    locations = [(await place.send("POST", "/v2/a/blobs/uploads/")).headers["location"] for _ in range(2)]
    full = await place.send("POST", "/v2/a/blobs/uploads/")
    assert full.status == 429 and "retry-after" in full.headers
    await place.send("DELETE", locations[0])
    assert (await place.send("POST", "/v2/a/blobs/uploads/")).status == 202


async def test_a_session_that_waits_too_long_ends(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "IDLE", 0.05)
    location = (await place.send("POST", "/v2/a/blobs/uploads/")).headers["location"]
    async with asyncio.timeout(20):
        while len(place.registry.uploads):
            await asyncio.sleep(0.02)
    assert (await place.send("GET", location)).status == 404
    assert await place.store.collect() == 0  # nothing is being added any more, and nothing was left


async def test_one_writer_at_a_time(place: Place) -> None:
    location = (await place.send("POST", "/v2/a/blobs/uploads/")).headers["location"]
    upload = place.registry.uploads.get(location.rpartition("/")[2], "a")
    upload.busy = True
    assert (await place.send("PATCH", location, b"x")).status == 409
    assert (await place.send("DELETE", location)).status == 409
    upload.busy = False
    assert (await place.send("PATCH", location, b"x")).status == 202


async def test_a_session_belongs_to_its_repository(place: Place) -> None:
    location = (await place.send("POST", "/v2/a/blobs/uploads/")).headers["location"]
    assert (await place.send("PATCH", location.replace("/v2/a/", "/v2/b/"), b"x")).code == "BLOB_UPLOAD_UNKNOWN"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=6))
async def test_any_cut_of_the_same_bytes_is_the_same_blob(place: Place, sizes: list[int]) -> None:
    whole = b"".join(bytes([at]) * size for at, size in enumerate(sizes))
    location = (await place.send("POST", "/v2/f/blobs/uploads/")).headers["location"]
    for at, size in enumerate(sizes):
        assert (await place.send("PATCH", location, bytes([at]) * size)).status == 202
    assert (await place.send("PUT", f"{location}?digest={digest(whole)}")).status == 201
    assert place.store.content.read(digest(whole)) == whole
