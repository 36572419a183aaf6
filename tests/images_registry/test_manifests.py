from __future__ import annotations

import json
from typing import Any

import pytest

from sampan.images import documents
from tests.images import build
from tests.images.build import digest
from tests.images_registry.conftest import Answer, Place


async def push(place: Place, name: str, made: build.Made, reference: str) -> Answer:
    for blob, data in made.blobs.items():
        if blob != made.manifest:
            assert (await place.push_blob(name, data, blob)).status == 201
    return await put(place, name, made.blobs[made.manifest], reference)


async def put(place: Place, name: str, data: bytes, reference: str, kind: str = documents.MANIFEST) -> Answer:
    return await place.send("PUT", f"/v2/{name}/manifests/{reference}", data, {"content-type": kind})


def image(text: str = "hello") -> build.Made:
    return build.image(build.layer(("file", text.encode())), Cmd=["/file"])


def artifact(subject: str, kind: str = "application/x.signature", **more: Any) -> bytes:
    """A manifest that refers to another; its config is the empty object."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2}
    document = {
        "schemaVersion": 2, "mediaType": documents.MANIFEST, "artifactType": kind, "config": empty, "layers": [empty],
        "subject": {"mediaType": documents.MANIFEST, "digest": subject, "size": 1}, **more,
    }  # fmt: skip
    return json.dumps(document).encode()


async def test_push_and_pull(place: Place) -> None:
    made = image()
    answer = await push(place, "team/app", made, "v1")
    assert answer.status == 201 and answer.headers["docker-content-digest"] == made.manifest
    assert answer.headers["location"] == f"/v2/team/app/manifests/{made.manifest}"
    for reference in ("v1", made.manifest):
        got = await place.send("GET", f"/v2/team/app/manifests/{reference}")
        assert got.body == made.blobs[made.manifest] and got.headers["content-type"] == documents.MANIFEST
        head = await place.send("HEAD", f"/v2/team/app/manifests/{reference}")
        assert head.status == 200 and head.headers["content-length"] == str(len(got.body)) and not head.body
    assert (await place.send("GET", "/v2/other/manifests/v1")).code == "NAME_UNKNOWN"
    assert (await place.send("GET", "/v2/team/app/manifests/v2")).code == "MANIFEST_UNKNOWN"
    assert (await place.send("GET", f"/v2/team/app/manifests/{digest(b'')}")).code == "MANIFEST_UNKNOWN"


async def test_a_tag_moves(place: Place) -> None:
    one, two = image("one"), image("two")
    await push(place, "app", one, "v1")
    await push(place, "app", two, "v1")
    assert (await place.send("GET", "/v2/app/manifests/v1")).headers["docker-content-digest"] == two.manifest
    assert (await place.send("GET", f"/v2/app/manifests/{one.manifest}")).status == 200


async def test_by_digest_without_a_tag(place: Place) -> None:
    made = image()
    assert (await push(place, "app", made, made.manifest)).status == 201
    assert json.loads((await place.send("GET", "/v2/app/tags/list")).body) == {"name": "app", "tags": []}
    wrong = await put(place, "app", made.blobs[made.manifest], digest(b"x"))
    assert wrong.code == "DIGEST_INVALID"


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{", documents.MANIFEST, "MANIFEST_INVALID"),
        (b"[]", documents.MANIFEST, "MANIFEST_INVALID"),
        (b'{"schemaVersion":1}', documents.MANIFEST, "MANIFEST_INVALID"),
        (b'{"schemaVersion":2}', documents.MANIFEST, "MANIFEST_INVALID"),
        (b'{"schemaVersion":2,"manifests":[]}', "text/plain", "MANIFEST_INVALID"),
        (b'{"schemaVersion":2,"mediaType":"%s"}' % documents.INDEX.encode(), documents.MANIFEST, "MANIFEST_INVALID"),
        (b'{"schemaVersion":2,"manifests":{}}', documents.INDEX, "MANIFEST_INVALID"),
        (b'{"schemaVersion":2,"manifests":[{"digest":"../../x"}]}', documents.INDEX, "MANIFEST_INVALID"),
        (b'{"schemaVersion":2,"manifests":[],"annotations":{"a":1}}', documents.INDEX, "MANIFEST_INVALID"),
        (b'{"schemaVersion":2,"manifests":[],"artifactType":1}', documents.INDEX, "MANIFEST_INVALID"),
        (b"[" * 10000, documents.MANIFEST, "MANIFEST_INVALID"),
    ],
)
async def test_what_is_no_manifest(place: Place, data: bytes, kind: str, code: str) -> None:
    answer = await put(place, "app", data, "v1", kind)
    assert answer.code == code, answer.body
    assert (await place.send("GET", "/v2/app/tags/list")).code == "NAME_UNKNOWN"


async def test_a_manifest_whose_parts_are_missing(place: Place) -> None:
    made = image()
    answer = await put(place, "app", made.blobs[made.manifest], "v1")
    assert answer.status == 404 and answer.code == "MANIFEST_BLOB_UNKNOWN"
    top = build.index((made, build.ARCHITECTURE))
    assert (await put(place, "app", top, "v1", documents.INDEX)).code == "MANIFEST_BLOB_UNKNOWN"


async def test_a_manifest_that_is_too_large(place: Place) -> None:
    assert (await put(place, "app", b" " * (5 << 20), "v1")).status == 413


async def test_an_index_brings_its_manifests_along(place: Place) -> None:
    made = image()
    await push(place, "elsewhere", made, "v1")
    top = build.index((made, build.ARCHITECTURE))
    assert (await put(place, "app", top, "v1", documents.INDEX)).status == 201
    assert (await place.send("GET", f"/v2/app/manifests/{made.manifest}")).body == made.blobs[made.manifest]


async def test_tags_in_pages(place: Place) -> None:
    made = image()
    for tag in ("b", "a", "C", "d"):
        await push(place, "app", made, tag)
    assert json.loads((await place.send("GET", "/v2/app/tags/list")).body)["tags"] == ["C", "a", "b", "d"]
    page = await place.send("GET", "/v2/app/tags/list?n=2")
    assert json.loads(page.body)["tags"] == ["C", "a"]
    assert page.headers["link"] == '</v2/app/tags/list?n=2&last=a>; rel="next"'
    last = await place.send("GET", "/v2/app/tags/list?n=2&last=a")
    assert json.loads(last.body)["tags"] == ["b", "d"] and "link" not in last.headers
    assert json.loads((await place.send("GET", "/v2/app/tags/list?n=0")).body)["tags"] == []
    assert (await place.send("GET", "/v2/app/tags/list?n=x")).status == 400
    await push(place, "team/deep/er", made, "1")
    assert json.loads((await place.send("GET", "/v2/_catalog")).body) == {"repositories": ["app", "team/deep/er"]}
    assert json.loads((await place.send("GET", "/v2/_catalog?n=1")).body) == {"repositories": ["app"]}


async def test_deleting_a_tag_leaves_the_manifest(place: Place) -> None:
    made = image()
    await push(place, "app", made, "v1")
    assert (await place.send("DELETE", "/v2/app/manifests/v1")).status == 202
    assert (await place.send("GET", "/v2/app/manifests/v1")).status == 404
    assert (await place.send("GET", f"/v2/app/manifests/{made.manifest}")).status == 200
    assert (await place.send("DELETE", "/v2/app/manifests/v1")).code == "MANIFEST_UNKNOWN"


async def test_deleting_a_manifest_takes_its_tags(place: Place) -> None:
    made = image()
    await push(place, "app", made, "v1")
    await push(place, "app", made, "v2")
    kept = digest(made.blobs[made.config])
    assert (await place.send("DELETE", f"/v2/app/blobs/{kept}")).code == "UNSUPPORTED"
    assert (await place.send("DELETE", f"/v2/app/manifests/{made.manifest}")).status == 202
    assert (await place.send("GET", "/v2/app/manifests/v2")).code == "NAME_UNKNOWN"
    assert (await place.send("DELETE", f"/v2/app/blobs/{kept}")).status == 202


async def test_what_refers_to_a_manifest(place: Place) -> None:
    made = image()
    await push(place, "app", made, "v1")
    await place.push_blob("app", b"{}", digest(b"{}"))
    signature = artifact(made.manifest, annotations={"by": "me"})
    other = artifact(made.manifest, "application/x.sbom")
    answer = await put(place, "app", signature, digest(signature))
    assert answer.headers["oci-subject"] == made.manifest
    await put(place, "app", other, digest(other))
    found = await place.send("GET", f"/v2/app/referrers/{made.manifest}")
    assert found.headers["content-type"] == documents.INDEX
    listed = {each["digest"]: each for each in json.loads(found.body)["manifests"]}
    assert listed.keys() == {digest(signature), digest(other)}
    assert listed[digest(signature)] == {
        "mediaType": documents.MANIFEST, "digest": digest(signature), "size": len(signature),
        "artifactType": "application/x.signature", "annotations": {"by": "me"},
    }  # fmt: skip
    path = f"/v2/app/referrers/{made.manifest}?artifactType=application/x.sbom"
    filtered = await place.send("GET", path)
    assert [each["digest"] for each in json.loads(filtered.body)["manifests"]] == [digest(other)]
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    await place.send("DELETE", f"/v2/app/manifests/{digest(signature)}")
    left = json.loads((await place.send("GET", f"/v2/app/referrers/{made.manifest}")).body)
    assert len(left["manifests"]) == 1
    nobody = await place.send("GET", f"/v2/app/referrers/{digest(b'nobody')}")
    assert nobody.status == 200 and json.loads(nobody.body)["manifests"] == []


async def test_an_image_s_config_type_is_its_artifact_type(place: Place) -> None:
    made = image()
    await push(place, "app", made, "v1")
    document = json.loads(made.blobs[made.manifest])
    document["subject"] = {"mediaType": documents.MANIFEST, "digest": made.manifest, "size": 1}
    await put(place, "app", json.dumps(document).encode(), "derived")
    found = json.loads((await place.send("GET", f"/v2/app/referrers/{made.manifest}")).body)
    assert found["manifests"][0]["artifactType"] == documents.CONFIG


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/", 404),
        ("GET", "/v2/app", 404),
        ("POST", "/v2/", 405),
        ("GET", "/v2/App/manifests/v1", 400),
        ("GET", "/v2/a..b/manifests/v1", 400),
        ("GET", "/v2/../../x/manifests/v1", 400),
        ("GET", "/v2/a/_manifests/manifests/v1", 400),
        ("GET", "/v2/app/manifests/.v1", 400),
        ("GET", f"/v2/app/manifests/{'v' * 129}", 400),
        ("PATCH", "/v2/app/manifests/v1", 405),
        ("GET", "/v2/app/tags/others", 404),
        ("DELETE", "/v2/app/tags/list", 405),
        ("GET", "/v2/app/blobs/uploads/", 405),
        ("GET", "/v2/app/referrers/v1", 400),
        ("GET", f"/v2/{'a/' * 200}a/manifests/v1", 400),
    ],
)
async def test_paths_that_lead_nowhere(place: Place, method: str, path: str, status: int) -> None:
    answer = await place.send(method, path)
    assert answer.status == status and json.loads(answer.body)["errors"][0]["message"]
    assert (status != 405) or "allow" in answer.headers


async def test_only_this_machine_is_served(place: Place) -> None:
    for host in ("evil.example", "localhost.evil.example", "10.0.0.1:5000"):
        assert (await place.send("GET", "/v2/", headers={"host": host})).code == "DENIED"
    for host in ("localhost", "127.0.0.1:1", "[::1]:5000", "localhost:5000"):
        assert (await place.send("GET", "/v2/", headers={"host": host})).status == 200
