"""Which containers get OpenTelemetry's packages, what they are told, and what happens when there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.api.types import core_v1
from sampan.monitor.instrument import packages, wanted
from sampan.monitor.instrument.room import AGAIN, Instrumentation
from sampan.runtime.clock import VirtualClock

ENDPOINT = "http://10.244.0.1:4318"
START = Path(packages.__file__).parent / "start"


def pod(annotations: dict[str, str], *containers: str, **meta: Any) -> core_v1.Pod:
    names = containers or ("app",)
    found = {
        "metadata": {"name": "shop-1", "namespace": "default", "annotations": annotations, **meta},
        "spec": {"nodeName": "n", "containers": [{"name": each} for each in names]},
    }
    return msgspec.convert(found, core_v1.Pod)


@pytest.mark.parametrize(
    ("value", "yes"), [("true", True), ("python", True), ("team/python", True), ("false", False), ("", False)]
)
def test_the_operators_annotation_asks(value: str, yes: bool) -> None:
    assert wanted.wanted(pod({wanted.ANNOTATION: value}), "app") is yes


def test_a_pod_that_does_not_ask_gets_nothing() -> None:
    assert not wanted.wanted(pod({}), "app")


def test_the_first_container_unless_others_are_named() -> None:
    first = pod({wanted.ANNOTATION: "true"}, "app", "side")
    assert [wanted.wanted(first, each) for each in ("app", "side")] == [True, False]
    for key in wanted.CONTAINERS:
        named = pod({wanted.ANNOTATION: "true", key: "side, more"}, "app", "side", "more")
        assert [wanted.wanted(named, each) for each in ("app", "side", "more")] == [False, True, True]


def told(own: wanted.Pairs = (), image: tuple[str, ...] = (), **meta: Any) -> dict[str, str]:
    made = wanted.environment(pod({}, **meta), "app", own, image, ENDPOINT)
    assert len(made) == len(dict(made))
    return dict(made)


def test_a_container_learns_where_traces_go_and_who_it_is() -> None:
    made = told((("A", "1"),), labels={"app": "shop"})
    assert made["A"] == "1"
    assert made["OTEL_EXPORTER_OTLP_ENDPOINT"] == ENDPOINT
    assert made["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert made["OTEL_SERVICE_NAME"] == "shop"
    assert made["PYTHONPATH"] == f"{wanted.PLACE}/start"
    assert made["OTEL_RESOURCE_ATTRIBUTES"] == (
        "k8s.namespace.name=default,k8s.pod.name=shop-1,k8s.container.name=app,k8s.node.name=n"
    )


def test_what_the_pod_or_its_image_says_stays() -> None:
    own = (
        ("OTEL_SERVICE_NAME", "mine"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a,k8s.pod.name=other"),
    )
    made = told(own, ("OTEL_BSP_SCHEDULE_DELAY=7", "PYTHONPATH=/lib"))
    assert made["OTEL_SERVICE_NAME"] == "mine"
    assert made["OTEL_METRICS_EXPORTER"] == "otlp"
    assert "OTEL_BSP_SCHEDULE_DELAY" not in made, "the image's own value is not hidden by ours"
    assert made["PYTHONPATH"] == f"{wanted.PLACE}/start:/lib"
    assert made["OTEL_RESOURCE_ATTRIBUTES"].endswith(",team=a,k8s.pod.name=other"), "later ones count"


def test_the_pods_python_path_hides_the_images() -> None:
    assert told((("PYTHONPATH", "/own"),), ("PYTHONPATH=/lib",))["PYTHONPATH"] == f"{wanted.PLACE}/start:/own"


def test_a_service_that_is_named_among_the_attributes_is_not_named_twice() -> None:
    assert "OTEL_SERVICE_NAME" not in told((("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine"),))


def test_what_only_probes_ask_for_is_not_traced() -> None:
    probes = {"readinessProbe": {"httpGet": {"path": "/healthz?full=1", "port": 1}}}
    probes |= {"livenessProbe": {"httpGet": {"path": "/", "port": 1}}, "startupProbe": {"tcpSocket": {"port": 1}}}
    found = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app", **probes}]}}
    made = dict(wanted.environment(msgspec.convert(found, core_v1.Pod), "app", (), (), ENDPOINT))
    assert made["OTEL_PYTHON_EXCLUDED_URLS"] == r"/healthz\?full=1$"
    assert "OTEL_PYTHON_EXCLUDED_URLS" not in told()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip, as it is where there is no network: nothing is found anywhere."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(empty))


@pytest.mark.usefixtures("offline")
async def test_without_packages_a_container_starts_as_it_is(tmp_path: Path) -> None:
    clock = VirtualClock(0.0)
    instrument = Instrumentation(tmp_path / "data", ENDPOINT, clock=clock)
    asks, own = pod({wanted.ANNOTATION: "true"}), (("A", "1"),)
    added = await instrument(asks, "app", own, ())
    assert added is not None
    assert (added.env, added.mounts) == (own, ())
    assert "opentelemetry-distro" in added.problem and "sampan instrument python" in added.problem
    assert list((tmp_path / "data").iterdir()) == [], "nothing half done is left"
    again = await instrument(asks, "app", own, ())
    assert again == added
    assert await instrument(pod({}), "app", own, ()) is None


@pytest.mark.usefixtures("offline")
async def test_a_failure_is_remembered_for_a_while_and_then_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    real = packages.Packages.prepare

    async def counted(self: packages.Packages, wheels: str = "", *, limit: float = packages.LIMIT) -> None:
        tries.append(wheels)
        await real(self, wheels, limit=limit)

    monkeypatch.setattr(packages.Packages, "prepare", counted)
    clock = VirtualClock(0.0)
    instrument = Instrumentation(tmp_path, ENDPOINT, clock=clock)
    asks = pod({wanted.ANNOTATION: "true"})
    for _ in range(3):
        await instrument(asks, "app", (), ())
    assert len(tries) == 1
    await clock.advance(AGAIN + 1)
    await instrument(asks, "app", (), ())
    assert len(tries) == 2


async def test_packages_that_are_there_are_mounted(tmp_path: Path) -> None:
    have = packages.Packages(tmp_path)
    have.directory.mkdir(parents=True)
    added = await Instrumentation(tmp_path, ENDPOINT)(pod({wanted.ANNOTATION: "true"}), "app", (), ())
    assert added is not None and not added.problem
    assert added.mounts == ((str(have.directory), wanted.PLACE),)
    assert dict(added.env)["OTEL_EXPORTER_OTLP_ENDPOINT"] == ENDPOINT


@pytest.mark.usefixtures("offline")
async def test_pip_is_not_taken_from_where_somebody_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("open('taken', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(packages.Missing):
        await packages.Packages(tmp_path / "data").prepare()
    assert not (tmp_path / "taken").exists()


@pytest.mark.usefixtures("offline")
async def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    gone, under_way = tmp_path / "data" / ".new-999999999-ab", tmp_path / "data" / f".new-{os.getppid()}-cd"
    for each in (gone, under_way):
        (each / "wheels").mkdir(parents=True)
    with pytest.raises(packages.Missing):
        await packages.Packages(tmp_path / "data").prepare()
    assert (gone.exists(), under_way.exists()) == (False, True)


@pytest.mark.usefixtures("offline")
async def test_pip_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(packages.Missing, match="more than 0 s"):
        await packages.Packages(tmp_path).prepare(limit=0.0)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "empty"])


# --- what runs in the container


def python(code: str, top: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = ":".join([str(top / "start"), *filter(None, [env.pop("path", "")])])
    return subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path, **env}, capture_output=True, text=True, check=True
    )


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A directory as containers see it, without OpenTelemetry in it."""
    (tmp_path / "start").mkdir()
    (tmp_path / "packages").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_bytes((START / "sitecustomize.py").read_bytes())
    return tmp_path


def test_a_program_runs_although_the_packages_are_broken(top: Path) -> None:
    (top / "packages" / "opentelemetry").mkdir()
    (top / "packages" / "opentelemetry" / "instrumentation.py").write_text("raise RuntimeError('broken')")
    done = python("print('runs')", top)
    assert done.stdout == "runs\n"
    assert done.stderr == "no traces: RuntimeError: broken\n"


def test_what_the_program_brings_comes_first(top: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for place, whose in ((own, "the program's"), (top / "packages", "ours")):
        (place / "shared.py").write_text(f"whose = {whose!r}")
    done = python("import shared; print(shared.whose)", top, path=str(own))
    assert done.stdout == "the program's\n"


def test_the_distributions_own_sitecustomize_runs_too(top: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys; sys.there = __name__")
    assert python("import sys; print(sys.there)", top, path=str(own)).stdout == "sitecustomize\n"


def test_every_python_reads_it() -> None:
    """No word of it is newer than Python 3.0; older ones are refused in words, not by a syntax error."""
    import ast

    ast.parse((START / "sitecustomize.py").read_text(), feature_version=(3, 4))
