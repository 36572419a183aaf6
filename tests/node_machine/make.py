"""Short ways to write pods, sandboxes and containers down."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.api.types import core_v1
from sampan.host.containers import Container, ContainerConfig, Image, Sandbox, SandboxConfig
from sampan.node import machine, observation
from sampan.node.observation import PodObservation

NOW = 1_800_000_000.0
CREATED = "2027-01-15T08:00:00Z"
IMAGE = Image("sha256:aaaa", ("docker.io/library/app:1",), ("docker.io/library/app@sha256:bb",), 1000, 0.0)


def pod(*containers: dict[str, Any] | str, meta: dict[str, Any] | None = None, status: dict[str, Any] | None = None,
        **spec: Any) -> core_v1.Pod:  # fmt: skip
    """Containers are names or whole documents; `init` are init containers."""
    document = {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u1",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": CREATED,
            **(meta or {}),
        },
        "spec": {
            "nodeName": "n1",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "containers": [container(each) for each in containers or ("app",)],
            **{key: value for key, value in spec.items() if key != "init"},
        },
        "status": status or {},
    }
    if "init" in spec:
        document["spec"]["initContainers"] = [container(each) for each in spec["init"]]
    return msgspec.convert(document, core_v1.Pod)


def container(wish: dict[str, Any] | str) -> dict[str, Any]:
    wish = {"name": wish} if isinstance(wish, str) else wish
    return {"image": "app:1", "imagePullPolicy": "IfNotPresent", "terminationMessagePolicy": "File", **wish}


def sidecar(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "restartPolicy": "Always", **more}


def deleted(pod: core_v1.Pod, grace: int = 30) -> core_v1.Pod:
    meta = msgspec.structs.replace(
        pod.metadata, deletionTimestamp=CREATED, deletionGracePeriodSeconds=grace, resourceVersion="2"
    )
    return msgspec.structs.replace(pod, metadata=meta)


def sandbox(id: str = "s0", *, ready: bool = True, attempt: int = 0, uid: str = "u1") -> Sandbox:
    config = SandboxConfig(uid, "web", "default", attempt)
    return Sandbox(id, config, ready, NOW, ("10.244.0.5",) if ready else ())


def run(
    name: str,
    state: str = "running",
    *,
    attempt: int = 0,
    code: int = 0,
    ended: float = 0.0,
    lived: float = 10.0,
    backoff: int = 0,
    sandbox_id: str = "s0",
    image: str = "app:1",
    reason: str = "",
    **more: Any,
) -> Container:
    """A run; `ended` is seconds before now, `lived` how long it ran."""
    finished = NOW - ended if state == "exited" else 0.0
    began = finished - lived if state == "exited" else NOW - lived
    config = ContainerConfig(
        name,
        "sha256:aaaa",
        attempt,
        annotations={
            observation.BACKOFF: str(backoff),
            observation.HASH: machine.fingerprint(core_v1.Container(name=name, image=image)),
        },
    )
    return Container(
        id=f"{name}-{attempt}",
        sandbox_id=sandbox_id,
        config=config,
        state=state,  # type: ignore[arg-type]
        created_at=began,
        started_at=began,
        finished_at=finished,
        exit_code=code,
        reason=reason or ("" if state != "exited" else "Error" if code else "Completed"),
        image_ref="docker.io/library/app@sha256:bb",
        **more,
    )


def seen(*containers: Container, **more: Any) -> PodObservation:
    """A pod that has its sandbox, its volumes and its images unless it says otherwise."""
    known: dict[str, Any] = {
        "started_at": NOW - 60,
        "sandboxes": (sandbox(),),
        "volumes_ready": True,
        "images": frozenset(("app", "b", "c", "i1", "i2", "side", "side2")),
        "host_ips": ("192.0.2.7",),
        "qos": "BestEffort",
        **more,
    }
    return PodObservation(containers=containers, **known)
