from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import codec, shapes
from sampan.api.errors import StatusError
from sampan.api.kinds import ALL, apiextensions, certificates, coordination, core
from sampan.api.types import core_v1

JSON = "application/json"


def read(body: bytes, content_type: str = JSON) -> Any:
    """What the server does with a pod's body before anything else."""
    document = codec.parse(body, content_type, kind="Pod")
    codec.identify(core.POD, document)
    codec.normalize(core.POD, document)
    return codec.decode(core.POD, document)


CANNOT = 'Pod in version "v1" cannot be handled as a Pod: '
UNRECOGNIZED = (
    "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", UNRECOGNIZED + "unexpected end of JSON input (<empty>)"),
        (b'{"a":', UNRECOGNIZED + 'unexpected end of JSON input ({"a":)'),
        (b'{"a":x}', UNRECOGNIZED + "invalid character 'x' looking for beginning of value ({\"a\":x})"),
        (b"[]", UNRECOGNIZED + "json: cannot unmarshal array into Go value of type map[string]interface {} (5b5d)"),
        (b"[" * 100_000, UNRECOGNIZED + "exceeded max depth (" + "5b" * 30 + " ...)"),
        (b'{"kind":1}', "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json "
         "parse error: json: cannot unmarshal number into Go struct field .kind of type string"),
        (b'{"apiVersion":"v2"}', "the API version in the data (v2) does not match the expected API version (v1)"),
        (b'{"kind":"Node"}', 'Node in version "v1" cannot be handled as a Pod: no kind "Node" is registered for this '
         "endpoint"),
        (b'{"spec":"x"}', CANNOT + "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        (b'{"spec":{"containers":{}}}', CANNOT + "json: cannot unmarshal object into Go struct field "
         "PodSpec.spec.containers of type []v1.Container"),
        (b'{"spec":{"containers":[1]}}', CANNOT + "json: cannot unmarshal number into Go struct field "
         "PodSpec.spec.containers of type v1.Container"),
        (b'{"spec":{"containers":[{"ports":[{"containerPort":"x"}]}]}}', CANNOT + "json: cannot unmarshal string into "
         "Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
        (b'{"spec":{"containers":[{"ports":[{"containerPort":2147483648}]}]}}', CANNOT + "json: cannot unmarshal "
         "number 2147483648 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
        (b'{"spec":{"priority":1.5}}', CANNOT + "json: cannot unmarshal number 1.5 into Go struct field "
         "PodSpec.spec.priority of type int32"),
        (b'{"metadata":{"labels":{"a":"b","c":true}}}', CANNOT + "json: cannot unmarshal bool into Go struct field "
         "ObjectMeta.metadata.labels of type string"),
        (b'{"metadata":{"creationTimestamp":"yesterday"}}', CANNOT + 'parsing time "yesterday" as '
         '"2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
        (b'{"metadata":{"creationTimestamp":"2026-02-30T00:00:00Z"}}', CANNOT + 'parsing time '
         '"2026-02-30T00:00:00Z": day out of range'),
        (b'{"spec":{"overhead":{"cpu":"1 core"}}}', CANNOT + "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        (b'{"spec":{"overhead":{"cpu":[]}}}', CANNOT + "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ],
)  # fmt: skip
def test_refusals(body: bytes, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        read(body)
    assert caught.value.code == 400
    assert caught.value.reason == "BadRequest"
    assert str(caught.value) == message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(("metadata", "spec", "status", "containers", "labels", "resources", "limits",
                                       "requests", "volumes", "creationTimestamp", "ports", "x")), inner, max_size=4)
)))  # fmt: skip
def test_any_document_is_read_or_refused(value: Any) -> None:
    try:
        read(json.dumps({"spec": value, "metadata": value}).encode())
    except StatusError as error:
        assert error.code == 400


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for content_type in (JSON, "application/yaml"):
        try:
            read(body, content_type)
        except StatusError as error:
            assert error.code == 400


def test_other_content_types_are_refused() -> None:
    with pytest.raises(StatusError) as caught:
        codec.parse(b"{}", "text/plain")
    assert caught.value.code == 415


def test_yaml() -> None:
    pod = read(b"spec:\n  containers:\n  - {name: c, image: x}\n", "application/yaml; charset=utf-8")
    assert pod.spec.containers[0].name == "c"
    with pytest.raises(StatusError, match="error converting YAML to JSON: yaml: line"):
        read(b"a: [", "application/yaml")


def test_null_means_absent() -> None:
    pod = read(b'{"metadata":{"name":"x","labels":null},"spec":{"containers":[{"name":"c","ports":null}]}}')
    assert pod.metadata.labels == {}
    document = codec.parse(b'{"spec":{"a":null}}', JSON, keep_nulls=True)
    assert document == {"spec": {"a": None}}
    patched: dict[str, Any] = {"metadata": None, "spec": {"containers": None}}
    assert codec.decode(core.POD, patched) == core_v1.Pod()


def test_canonical_forms() -> None:
    document: dict[str, Any] = {
        "metadata": {"creationTimestamp": "2026-01-02T03:04:05+01:00"},
        "spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": 1}}}]},
        "status": {"startTime": "2026-01-02t03:04:05.999z"},
    }
    codec.normalize(core.POD, document)
    assert document["metadata"]["creationTimestamp"] == "2026-01-02T02:04:05Z"
    assert document["status"]["startTime"] == "2026-01-02T03:04:05Z"
    resources = document["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    lease: dict[str, Any] = {"spec": {"renewTime": "2026-01-02T03:04:05Z"}}
    codec.normalize(coordination.LEASE, lease)
    assert lease["spec"]["renewTime"] == "2026-01-02T03:04:05.000000Z"


def test_base64_is_checked() -> None:
    secret: dict[str, Any] = {"data": {"a": "aGVs\nbG8="}}
    codec.normalize(core.SECRET, secret)
    assert secret["data"]["a"] == "aGVsbG8="
    with pytest.raises(StatusError, match="illegal base64 data at input byte 4"):
        codec.normalize(core.SECRET, {"data": {"a": "aGVs$G8="}})
    with pytest.raises(StatusError, match="illegal base64 data"):
        codec.normalize(certificates.CERTIFICATE_SIGNING_REQUEST, {"spec": {"request": "abc"}})


def test_unknown_fields() -> None:
    document = {
        "spec": {"foo": 1, "containers": [{"name": "c"}, {"bar": 2, "env": [{"valueFrom": {"x": 1}}]}]},
        "top": {},
    }
    codec.decode(core.POD, document)
    assert codec.unknown_fields(core.POD, document) == [
        "spec.foo",
        "spec.containers[1].bar",
        "spec.containers[1].env[0].valueFrom.x",
        "top",
    ]


def test_unknown_fields_of_a_type_within_itself() -> None:
    schema = {"properties": {"a": {"properties": {"b": {"typo": 1}}}}}
    document = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    found = codec.unknown_fields(apiextensions.CUSTOM_RESOURCE_DEFINITION, document)
    assert found == ["spec.versions[0].schema.openAPIV3Schema.properties.a.properties.b.typo"]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.resource}/{kind.version}")
def test_skeleton_agrees_with_the_walk(kind: Any) -> None:
    if shapes.recursive(kind.type):
        return
    assert codec.unknown_fields(kind, {"nothing": 1}) == ["nothing"]
    msgspec.convert(codec.document(kind.type()), shapes.strict(kind.type))


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (b'{"a":1,"b":{"c":2}}', JSON, []),
        (b'{ "a" : 1, "b" : "\\": x" }', JSON, []),
        (b'{"a":1,"a":2}', JSON, ['duplicate field "a"']),
        (b'{"a":{"b":[{"c":1,"c":2}]},"d":1}', JSON, ['duplicate field "a.b[0].c"']),
        (b"a: 1\nb: 2\na: 3\n", "application/yaml", ['line 3: key "a" already set in map']),
    ],
)
def test_duplicates(body: bytes, content_type: str, found: list[str]) -> None:
    assert codec.duplicates(body, content_type, codec.parse(body, content_type)) == found


def test_revision_is_spliced_in() -> None:
    pod = core_v1.Pod(apiVersion="v1", kind="Pod")
    value = codec.with_revision(codec.encode(pod), 42)
    assert codec.decode(core.POD, msgspec.json.decode(value)).metadata.resourceVersion == "42"
    document = {"spec": {"metadata": {}}, "metadata": {"name": "x"}, "kind": "Foo", "apiVersion": "e.com/v1"}
    value = codec.with_revision(codec.encode(document), 7)
    assert msgspec.json.decode(value)["metadata"] == {"resourceVersion": "7", "name": "x"}
    assert value.startswith(b'{"apiVersion":"e.com/v1","kind":"Foo","metadata":')


def test_partial_reads() -> None:
    document = {
        "metadata": {"name": "x", "uid": "u", "finalizers": ["f"], "ownerReferences": [{"name": "o", "kind": "K"}]},
        "spec": {"nodeName": "n", "hostNetwork": True},
        "status": {"phase": "Running"},
    }
    value = codec.encode(codec.decode(core.POD, copy.deepcopy(document)))
    meta = codec.meta(value)
    assert (meta.name, meta.uid, meta.finalizers, meta.ownerReferences[0].name) == ("x", "u", ("f",), "o")
    assert codec.meta(b'{"kind":"x"}') == codec.Meta()
    paths = ("spec.nodeName", "spec.hostNetwork", "status.podIP", "spec.schedulerName")
    assert codec.fields(core.POD, value, paths) == dict(zip(paths, ("n", "true", "", ""), strict=True))
    assert codec.fields(core.NODE, b"{}", ("spec.unschedulable",)) == {"spec.unschedulable": "false"}
    assert codec.fields(core.EVENT, b'{"source":{"component":"kubelet"}}', ("source",)) == {"source": "kubelet"}


def test_document_is_a_copy() -> None:
    pod = core_v1.Pod(spec=core_v1.PodSpec(containers=(core_v1.Container(name="c"),)))
    document = codec.document(pod)
    document["spec"]["containers"][0]["name"] = "other"
    assert pod.spec.containers[0].name == "c"
