from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sampan.api.types import core_v1, meta_v1
from sampan.host.containers import ImageFailure
from sampan.node.images import Images, NotPulled, default_policy, duration, excess
from sampan.runtime.clock import settle
from tests.node_machine.lab import Lab
from tests.node_machine.make import pod
from tests.node_machine.runtime import image


class Bench:
    def __init__(self, root: Path) -> None:
        self.lab = Lab(root)
        self.service = self.lab.images
        self.images = Images(self.service, self.lab.configs, self.lab.config, self.lab.clock)
        self.said: list[str] = []

    async def ensure(self, policy: str = "IfNotPresent", name: str = "new:1", **spec: Any) -> str:
        """The image's ID, or the reason why there is none."""
        made = pod({"name": "app", "image": name, "imagePullPolicy": policy}, **spec)
        try:
            return (await self.images.ensure(made, made.spec.containers[0], self._tell)).id
        except NotPulled as error:
            return error.wait.reason

    def _tell(self, type: str, reason: str, message: str) -> None:
        self.said.append(f"{type} {reason}: {message}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("policy", "present", "outcome", "pulled"),
    [
        ("IfNotPresent", True, "sha256:new:1", 0),
        ("IfNotPresent", False, "sha256:new:1", 1),
        ("Always", True, "sha256:new:1", 1),
        ("Never", True, "sha256:new:1", 0),
        ("Never", False, "ErrImageNeverPull", 0),
    ],
)
async def test_pull_policies(bench: Bench, policy: str, present: bool, outcome: str, pulled: int) -> None:
    bench.service.registry["new:1"] = None
    if present:
        bench.service.present["new:1"] = image("new:1")
    assert await bench.ensure(policy) == outcome
    assert len(bench.service.pulls) == pulled


async def test_never_pulled_says_so(bench: Bench) -> None:
    await bench.ensure("Never")
    assert bench.said == ['Warning ErrImageNeverPull: Container image "new:1" is not present with pull policy of Never']


async def test_a_name_that_is_none(bench: Bench) -> None:
    assert await bench.ensure(name="UPPER:::") == "InvalidImageName"
    assert bench.said[0].startswith('Warning InspectFailed: Failed to apply default image tag "UPPER:::"')


async def test_failures_back_off_by_pod_and_image(bench: Bench) -> None:
    bench.service.registry["new:1"] = ImageFailure("ErrImagePull", "no such thing")
    assert await bench.ensure() == "ErrImagePull"
    assert bench.said == [
        'Normal Pulling: Pulling image "new:1"',
        'Warning Failed: Failed to pull image "new:1": no such thing',
        "Warning Failed: Error: ErrImagePull",
    ]
    bench.said.clear()
    assert await bench.ensure() == "ImagePullBackOff"
    assert bench.said == [
        'Normal BackOff: Back-off pulling image "new:1"',
        "Warning Failed: Error: ImagePullBackOff",
    ]
    await bench.lab.clock.advance(10)
    assert await bench.ensure() == "ErrImagePull"
    await bench.lab.clock.advance(19)
    assert await bench.ensure() == "ImagePullBackOff"
    await bench.lab.clock.advance(1)
    bench.service.registry["new:1"] = None
    assert await bench.ensure() == "sha256:new:1"


async def test_a_forgotten_pod_takes_its_backoff_along(bench: Bench) -> None:
    assert await bench.ensure() == "ErrImagePull"
    bench.images.forget("u1")
    assert await bench.ensure() == "ErrImagePull"


async def test_pull_secrets_are_shown_to_the_registry(bench: Bench) -> None:
    auth = {"auths": {"reg.example.com": {"username": "me", "password": "pw"}}}
    bench.lab.configs.secrets["pull"] = core_v1.Secret(
        metadata=meta_v1.ObjectMeta(name="pull"),
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": base64.b64encode(json.dumps(auth).encode()).decode()},
    )
    bench.service.registry["reg.example.com/app:1"] = None
    wanted = [{"name": "pull"}, {"name": "lost"}]
    await bench.ensure(name="reg.example.com/app:1", imagePullSecrets=wanted)
    assert bench.service.pulls == [("reg.example.com/app:1", (("me", "pw"),))]
    assert bench.said[1] == (
        "Warning FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (lost);"
        " attempting to pull the image may not succeed."
    )


async def test_only_so_many_pulls_at_once(bench: Bench) -> None:
    bench.service.gate = asyncio.Event()
    for number in range(10):
        bench.service.registry[f"i:{number}"] = None
    work = asyncio.gather(*(bench.ensure(name=f"i:{number}") for number in range(10)))
    await settle()
    assert len(bench.service.pulls) == bench.lab.config.pulls
    bench.service.gate.set()
    assert len(await work) == 10


async def test_collection_frees_down_to_the_low_mark_and_spares_what_is_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sampan.node.images.disk", lambda path: (10_000, 500))
    for name in ("a", "b", "c"):
        bench.service.present[name] = image(name)
    used = {"sha256:a", "sha256:app:1"}
    assert await bench.images.collect(used) == 0
    await bench.lab.clock.advance(200)
    assert await bench.images.collect(used) == 2000
    assert bench.service.removed == ["b", "c"]


@pytest.mark.parametrize(("available", "expected"), [(20, 0), (15, 0), (14, 6), (5, 15)])
def test_how_much_has_to_go(available: int, expected: int) -> None:
    assert excess(100, available, 85, 80) == expected


def test_the_policy_of_an_image_that_names_none() -> None:
    assert default_policy("nginx") == default_policy("nginx:latest") == "Always"
    assert default_policy("nginx:1") == default_policy("nginx@sha256:" + "a" * 64) == "IfNotPresent"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (0.0851, "85ms"), (1.2345, "1.234s"), (63.5, "1m3.5s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
