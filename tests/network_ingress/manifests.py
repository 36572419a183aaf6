"""Objects of the API from YAML, as the server would hold them, for the pure parts."""

from __future__ import annotations

import base64
import datetime
from functools import cache
from typing import Any

import msgspec
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan.api.types import core_v1, discovery_v1, networking_v1
from sampan.network.ingress.compute import Objects
from tests.network import cluster

TYPES: dict[str, Any] = {
    "Service": core_v1.Service,
    "EndpointSlice": discovery_v1.EndpointSlice,
    "Ingress": networking_v1.Ingress,
    "IngressClass": networking_v1.IngressClass,
    "Secret": core_v1.Secret,
    "ConfigMap": core_v1.ConfigMap,
}

CLASSES = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: sampan}
spec: {controller: sampan.dev/ingress}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
"""


def objects(text: str, *more: Any) -> Objects:
    """Everything in `text`; services `a` to `d` of namespace default have pods unless it says otherwise."""
    made = [msgspec.convert(each, TYPES[each["kind"]]) for each in yaml.safe_load_all(CLASSES + "---\n" + text) if each]
    made += more
    services = {_key(each): each for each in made if isinstance(each, core_v1.Service)}
    slices: dict[tuple[str, str], list[discovery_v1.EndpointSlice]] = {}
    for each in made:
        if isinstance(each, discovery_v1.EndpointSlice):
            name = each.metadata.labels["kubernetes.io/service-name"]
            slices.setdefault((each.metadata.namespace or "", name), []).append(each)
    for at, name in enumerate("abcd"):
        if ("default", name) not in services:
            port = cluster.port(80, name="http")
            services["default", name] = cluster.service(name, port, clusterIP=f"10.96.0.{at + 50}")
            pods = (f"10.244.0.{at + 10}", f"10.244.0.{at + 20}")
            slices["default", name] = [cluster.slice(name, *pods, ports=(("http", 8080, "TCP"),))]
    return Objects(
        [each for each in made if isinstance(each, networking_v1.Ingress)],
        [each for each in made if isinstance(each, networking_v1.IngressClass)],
        services,
        slices,
        {_key(each): each for each in made if isinstance(each, core_v1.Secret)},
        {_key(each): each for each in made if isinstance(each, core_v1.ConfigMap)},
        "here",
    )


def _key(object: Any) -> tuple[str, str]:
    return object.metadata.namespace or "", object.metadata.name or ""


def ingress(
    name: str,
    *paths: tuple[str, str, str, str],
    annotations: dict[str, str] | None = None,
    created: str = "2027-01-15T08:00:00Z",
    class_: str | None = "sampan",
    tls: tuple[networking_v1.IngressTLS, ...] = (),
    default: str = "",
) -> networking_v1.Ingress:
    """`paths` are (host, path, pathType, service)."""
    rules = tuple(
        networking_v1.IngressRule(
            host=host or None,
            http=networking_v1.HTTPIngressRuleValue(
                paths=(networking_v1.HTTPIngressPath(path=path, pathType=kind, backend=backend(service)),)
            ),
        )
        for host, path, kind, service in paths
    )
    given = {f"nginx.ingress.kubernetes.io/{key}": value for key, value in (annotations or {}).items()}
    metadata = cluster.metadata(name, annotations=given, creationTimestamp=created)
    spec = networking_v1.IngressSpec(
        ingressClassName=class_, rules=rules, tls=tls, defaultBackend=backend(default) if default else None
    )
    return networking_v1.Ingress(metadata=metadata, spec=spec)


def backend(service: str) -> networking_v1.IngressBackend:
    port = networking_v1.ServiceBackendPort(number=80)
    return networking_v1.IngressBackend(service=networking_v1.IngressServiceBackend(name=service, port=port))


@cache
def pair(host: str = "example.com") -> tuple[bytes, bytes]:
    """A certificate signed by itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def tls_secret(name: str, host: str = "example.com", **data: bytes) -> core_v1.Secret:
    chain, key = pair(host)
    parts = {"tls.crt": chain, "tls.key": key, **{key.replace("_", "."): value for key, value in data.items()}}
    encoded = {key: base64.b64encode(value).decode() for key, value in parts.items()}
    return core_v1.Secret(metadata=cluster.metadata(name), type="kubernetes.io/tls", data=encoded)
