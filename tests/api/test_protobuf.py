"""Protobuf bodies, written by hand here, and OpenAPI v2 in its protobuf form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import codec, protobuf
from sampan.api.errors import StatusError
from sampan.api.kinds import apps, core
from sampan.api.openapi import protobuf as openapi


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(version: str, kind: str, message: bytes) -> bytes:
    names = field(1, version) + field(2, kind)
    return protobuf.MAGIC + field(1, names) + field(2, message) + field(3, "") + field(4, "")


META = field(1, "web") + field(3, "default") + field(8, b"")  # creationTimestamp is sent unset


def test_a_secret() -> None:
    message = field(1, META) + field(2, field(1, "a") + field(2, b"\x00\xff")) + field(3, "Opaque")
    assert protobuf.decode(body("v1", "Secret", message)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web", "namespace": "default"},
        "data": {"a": "AP8="},
        "type": "Opaque",
    }


def test_a_deployment_with_what_json_shows_otherwise() -> None:
    percent = field(1, 1) + field(2, 0) + field(3, "25%")
    number = field(1, 0) + field(2, 1) + field(3, "")
    rolling = field(1, percent) + field(2, number)
    resources = field(1, field(1, "cpu") + field(2, field(1, "500m")))
    container = field(1, "main") + field(2, "app:1") + field(8, resources) + field(16, 0) + field(17, 0)
    spec = field(2, container) + field(4, 0) + field(11, 0)
    template = field(1, field(8, b"")) + field(2, spec)
    deployment = field(1, 0) + field(3, template) + field(4, field(1, "RollingUpdate") + field(2, rolling))
    document = protobuf.decode(body("apps/v1", "Deployment", field(1, META) + field(2, deployment)))
    assert document["spec"]["replicas"] == 0  # zero is meant: the client set it
    assert document["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": 1}
    pod = document["spec"]["template"]["spec"]
    assert pod["containers"] == [{"name": "main", "image": "app:1", "resources": {"limits": {"cpu": "500m"}}}]
    assert pod["terminationGracePeriodSeconds"] == 0 and "hostNetwork" not in pod
    codec.decode(apps.DEPLOYMENT, document)


def test_embedded_messages_stand_in_their_owner() -> None:
    volume = field(1, "data") + field(2, field(19, field(1, field(1, "settings"))))
    reference = field(1, field(1, "token")) + field(2, "key")  # secretKeyRef: localObjectReference, key
    variable = field(1, "TOKEN") + field(3, field(4, reference))
    probe = field(1, field(2, field(1, "/healthz") + field(2, field(1, 0) + field(2, 80) + field(3, ""))))
    container = field(1, "main") + field(7, variable) + field(10, probe)
    document = protobuf.decode(body("v1", "Pod", field(2, field(1, volume) + field(2, container))))
    assert document["spec"]["volumes"] == [{"name": "data", "configMap": {"name": "settings"}}]
    made = document["spec"]["containers"][0]
    assert made["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "token", "key": "key"}
    assert made["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": 80}


def test_times_and_negative_numbers() -> None:
    condition = field(1, "Ready") + field(2, "True") + field(3, field(1, 1_700_000_000) + field(2, 0))
    message = field(1, META) + field(3, field(1, "Running") + field(2, condition)) + field(2, field(4, -1))
    document = protobuf.decode(body("v1", "Pod", message))
    assert document["status"]["conditions"][0]["lastProbeTime"] == "2023-11-14T22:13:20Z"
    assert document["spec"]["terminationGracePeriodSeconds"] == -1


def test_json_within_the_envelope() -> None:
    names = field(1, "v1") + field(2, "ConfigMap")
    data = protobuf.MAGIC + field(1, names) + field(2, b'{"data":{"a":"b"}}') + field(4, "application/json")
    assert protobuf.decode(data) == {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}", "the body does not begin with k8s\\0"),
        (protobuf.MAGIC + b"\x0a\x7f", "unexpected EOF"),
        (body("v1", "Nonsense", b""), 'no kind "Nonsense" is known in version "v1"'),
        (body("v1", "Secret", field(3, b"\xff")), "a string is no valid UTF-8"),
        (body("v1", "Secret", field(3, 5)), "a number where bytes belong"),
    ],
)
def test_what_is_malformed(data: bytes, says: str) -> None:
    with pytest.raises(protobuf.Malformed, match=says.replace("\\", "\\\\")):
        protobuf.decode(data)
    with pytest.raises(StatusError, match="no protobuf message of Kubernetes"):
        codec.parse(data, protobuf.MEDIA_TYPE)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for message in (data, body("v1", "Pod", data)):
        try:
            document = protobuf.decode(message)
        except protobuf.Malformed as error:
            assert str(error)
        else:
            assert document["kind"] == "Pod"


def test_openapi_names_every_definition_and_its_kind() -> None:
    document = {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": {"/api/v1/pods": {"get": {"x-kubernetes-group-version-kind": {"kind": core.POD.name}}}},
        "definitions": {"io.k8s.Pod": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
    }
    data = openapi.encode(document)
    member = field(1, "a") + field(2, field(22, field(1, "string")))
    schema = field(19, "a") + field(22, field(1, "object")) + field(25, field(1, member))
    assert field(9, field(1, field(1, "io.k8s.Pod") + field(2, schema))) in data
    assert b'{"kind":"Pod"}' in data and b"/api/v1/pods" in data
