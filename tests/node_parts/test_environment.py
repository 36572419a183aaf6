from __future__ import annotations

import base64
import textwrap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar

import pytest

from sampan.api.types import core_v1
from sampan.node import environment
from sampan.node.contracts import Capacity, CreateContainerConfigError, NodeFacts, Places
from sampan.node.environment import PodEnvironment, Reference
from sampan.testing.objects import load
from tests.node_parts.pods import UID, pod

T = TypeVar("T")

NODE = NodeFacts("n1", ("192.0.2.7", "2001:db8::7"), Capacity(4000, 1 << 33), Capacity(3500, 1 << 32))


class Objects:
    """Services, ConfigMaps and Secrets of a few manifests."""

    def __init__(self, manifests: str = "") -> None:
        self.objects = load(manifests) if manifests else ()

    async def ready(self) -> None: ...

    def services(self, namespace: str) -> Collection[core_v1.Service]:
        return [s for s in self._all(core_v1.Service) if s.metadata.namespace == namespace]

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap | None:
        return next((o for o in self._all(core_v1.ConfigMap) if o.metadata.name == name), None)

    async def secret(self, namespace: str, name: str) -> core_v1.Secret | None:
        return next((o for o in self._all(core_v1.Secret) if o.metadata.name == name), None)

    def _all(self, type: type[T]) -> Iterable[T]:
        return [each for each in self.objects if isinstance(each, type)]


async def variables(
    container: str, objects: Objects | None = None, tmp: Path = Path("/nowhere"), **more: str
) -> dict[str, str]:
    lines = "\n".join(f"  {line}" for line in textwrap.dedent(container).strip().splitlines())
    one = pod(f"{more.get('spec', '')}\ncontainers:\n- name: c\n  image: i\n{lines}", metadata=more.get("metadata", ""))
    known = objects or Objects()
    make = PodEnvironment(Places(tmp), known.ready)
    pairs = await make(one, one.spec.containers[0], NODE, known, ("10.1.0.5", "fd00::5"), known)
    return dict(pairs)


CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {COLOR: blue, with-dash: x}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {PASSWORD: c2VjcmV0}
"""


async def test_values_refer_to_what_stands_before_them() -> None:
    found = await variables(
        """
        env:
        - {name: A, value: one}
        - {name: B, value: $(A)-$(C)-$$(A)}
        - {name: C, value: three}
        - {name: A, value: again $(A)}
        """
    )
    assert found == {"A": "again one", "B": "one-$(C)-$(A)", "C": "three"}


async def test_fields_of_the_pod() -> None:
    found = await variables(
        """
        env:
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app.kubernetes.io/name']"}}}
        - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['none']"}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
        - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
        - {name: HOSTS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
        - {name: SUM, value: $(NAME)@$(IP)}
        """,
        metadata="labels: {app.kubernetes.io/name: shop}",
        spec="nodeName: n1\nserviceAccountName: robot",
    )
    assert found == {
        "NAME": "web", "NAMESPACE": "default", "UID": UID, "LABEL": "shop", "NOTE": "", "NODE": "n1",
        "ACCOUNT": "robot", "HOST": "192.0.2.7", "HOSTS": "192.0.2.7,2001:db8::7", "IP": "10.1.0.5",
        "IPS": "10.1.0.5,fd00::5", "SUM": "web@10.1.0.5",
    }  # fmt: skip


async def test_resources_in_whole_divisors_rounded_up() -> None:
    found = await variables(
        """
        resources: {requests: {cpu: 250m, memory: 32Mi}, limits: {cpu: 1200m}}
        env:
        - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
        - {name: MILLI, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
        - {name: ASKED, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
        - {name: MIB, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}
        - {name: NODES, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Gi}}}
        - {name: NONE, valueFrom: {resourceFieldRef: {resource: requests.ephemeral-storage}}}
        """
    )
    assert found == {"CPU": "2", "MILLI": "1200", "ASKED": "250", "MIB": "32", "NODES": "4", "NONE": "0"}


async def test_keys_of_objects() -> None:
    found = await variables(
        """
        env:
        - {name: COLOR, valueFrom: {configMapKeyRef: {name: conf, key: COLOR}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: PASSWORD}}}
        - {name: NO_KEY, valueFrom: {configMapKeyRef: {name: conf, key: none, optional: true}}}
        - {name: NO_MAP, valueFrom: {configMapKeyRef: {name: none, key: none, optional: true}}}
        - {name: NO_SECRET, valueFrom: {secretKeyRef: {name: none, key: none, optional: true}}}
        """,
        Objects(CONFIG),
    )
    assert found == {"COLOR": "blue", "PASSWORD": "secret"}


async def test_all_of_an_object_with_a_prefix_and_env_over_it() -> None:
    found = await variables(
        """
        envFrom:
        - {configMapRef: {name: conf}, prefix: P_}
        - {secretRef: {name: keys}}
        - {secretRef: {name: none, optional: true}}
        env:
        - {name: PASSWORD, value: other}
        - {name: REF, value: $(P_COLOR)}
        """,
        Objects(CONFIG),
    )
    assert found == {"P_COLOR": "blue", "P_with-dash": "x", "PASSWORD": "other", "REF": "blue"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ("envFrom: [{configMapRef: {name: none}}]", 'configmap "none" not found'),
        ("envFrom: [{secretRef: {name: none}}]", 'secret "none" not found'),
        ("env: [{name: A, valueFrom: {configMapKeyRef: {name: none, key: k}}}]", 'configmap "none" not found'),
        ("env: [{name: A, valueFrom: {secretKeyRef: {name: none, key: k}}}]", 'secret "none" not found'),
        (
            "env: [{name: A, valueFrom: {configMapKeyRef: {name: conf, key: k}}}]",
            "couldn't find key k in ConfigMap default/conf",
        ),
        (
            "env: [{name: A, valueFrom: {secretKeyRef: {name: keys, key: k}}}]",
            "couldn't find key k in Secret default/keys",
        ),
        ("env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}]", "unsupported fieldPath: spec.x"),
    ],
)
async def test_what_is_missing_is_named(container: str, message: str) -> None:
    with pytest.raises(CreateContainerConfigError) as caught:
        await variables(container, Objects(CONFIG))
    assert str(caught.value) == message


def test_a_reference_is_required_where_any_use_requires_it() -> None:
    one = pod(
        """
        containers:
        - name: c
          image: i
          envFrom: [{configMapRef: {name: conf, optional: true}}]
          env:
          - {name: A, valueFrom: {configMapKeyRef: {name: conf, key: k}}}
          - {name: B, valueFrom: {secretKeyRef: {name: keys, key: k, optional: true}}}
        """
    )
    assert environment.references(one.spec.containers[0]) == [
        Reference("ConfigMap", "conf", False),
        Reference("Secret", "keys", True),
    ]


SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: kubernetes}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: redis-primary}
spec: {clusterIP: 10.96.0.11, ports: [{name: client-api, port: 6379}, {name: gossip, port: 7000, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: other}
spec: {clusterIP: 10.96.0.12, ports: [{port: 80}]}
"""


async def test_services_are_variables() -> None:
    found = await variables("env: [{name: WHERE, value: $(REDIS_PRIMARY_SERVICE_HOST)}]", Objects(SERVICES))
    assert found == {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
        "REDIS_PRIMARY_SERVICE_HOST": "10.96.0.11",
        "REDIS_PRIMARY_SERVICE_PORT": "6379",
        "REDIS_PRIMARY_SERVICE_PORT_CLIENT_API": "6379",
        "REDIS_PRIMARY_SERVICE_PORT_GOSSIP": "7000",
        "REDIS_PRIMARY_PORT": "tcp://10.96.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP": "tcp://10.96.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_PRIMARY_PORT_6379_TCP_PORT": "6379",
        "REDIS_PRIMARY_PORT_6379_TCP_ADDR": "10.96.0.11",
        "REDIS_PRIMARY_PORT_7000_UDP": "udp://10.96.0.11:7000",
        "REDIS_PRIMARY_PORT_7000_UDP_PROTO": "udp",
        "REDIS_PRIMARY_PORT_7000_UDP_PORT": "7000",
        "REDIS_PRIMARY_PORT_7000_UDP_ADDR": "10.96.0.11",
        "WHERE": "10.96.0.11",
    }


async def test_without_links_only_the_api_server_is_known() -> None:
    found = await variables("env: []", Objects(SERVICES), spec="enableServiceLinks: false")
    assert {name.partition("_")[0] for name in found} == {"KUBERNETES"}


async def test_a_file_of_a_volume_gives_variables(tmp_path: Path) -> None:
    volume = Places(tmp_path).volumes(UID) / "shared"
    volume.mkdir(parents=True)
    (volume / "app.env").write_text("# comment\nA=one\nB='two words'\n\nA=last\n")
    (volume / "out.env").symlink_to("/etc/hostname")
    found = await variables(
        """
        env:
        - {name: X, valueFrom: {fileKeyRef: {volumeName: shared, path: app.env, key: A}}}
        - {name: Y, valueFrom: {fileKeyRef: {volumeName: shared, path: app.env, key: B}}}
        - {name: Z, valueFrom: {fileKeyRef: {volumeName: shared, path: out.env, key: Z, optional: true}}}
        """,
        tmp=tmp_path,
    )
    assert found == {"X": "last", "Y": "two words"}


def test_bytes_that_are_no_text_pass_through() -> None:
    raw = b"\xff\xfe"
    assert environment.secret_text(base64.b64encode(raw).decode()).encode("utf-8", "surrogateescape") == raw
