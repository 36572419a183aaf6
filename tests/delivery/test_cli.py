"""The commands about apps, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sampan.api import kinds
from sampan.controllers import ALL, app
from tests.delivery.conftest import Run

WEB = ("deploy", "--image", "team/web:1", "--port", "80")
ELSEWHERE = tuple(kind for kind in kinds.ALL if kind.group != "sampan.dev")
WITHOUT_APPS = tuple(each for each in ALL if each is not app.declare)


def test_deploy_says_what_it_guessed_and_what_is_met(sampan: Run) -> None:
    said = sampan(*WEB, "--replicas", "2")
    assert said.code == 0, said.all
    assert "guessed: the name web (--name)" in said.err
    assert "guessed: host web.localhost (--host)" in said.err
    lines = said.out.splitlines()
    for start in ("1 image    ok", "2 pods     ok", "3 volumes  -", "4 service  ok", "5 publish  no", "6 monitor  no"):
        assert any(line.startswith(start) for line in lines), said.out
    assert lines[-1] == "web is deployed: http://web.default.svc:80"
    assert "web    stateless   team/web:1   2/2" in sampan("get", "apps").out


def test_deploying_again_changes_only_what_is_said(sampan: Run) -> None:
    sampan(*WEB, "--env", "A=1", "--env", "B=2", "--volume", "/data:2Gi", "--no-wait")
    said = sampan(
        "deploy", "--image", "team/web:2", "--env", "A-", "--env", "C=3", "--host", "-", "--no-wait", "-m", "why"
    )
    assert (said.code, said.err) == (0, "app web changed in namespace default\n")
    spec = yaml.safe_load(sampan("get", "app", "web", "-o", "yaml").out)["spec"]
    assert spec["env"] == {"B": "2", "C": "3"}
    assert spec["volumes"] == [{"name": "data", "path": "/data", "size": "2Gi"}]
    assert (spec["port"], spec.get("host"), spec["source"]) == (80, None, {"image": "team/web:2"})


def test_a_dry_run_writes_nothing(sampan: Run) -> None:
    said = sampan(*WEB, "--dry-run", "--need", "db=mariadb", "--secret", "TOKEN")
    document = yaml.safe_load(said.out)
    assert document["spec"]["needs"] == [{"name": "db", "app": "mariadb"}]
    assert document["spec"]["secrets"] == ["TOKEN"]
    assert sampan("get", "apps").out == ""


def test_a_folder_may_describe_its_app(sampan: Run, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "apiVersion: sampan.dev/v1\nkind: App\nmetadata: {name: shop}\nspec: {source: {image: 'shop:1'}, port: 8080}\n"
    )
    said = sampan("deploy", str(tmp_path), "--no-wait")
    assert said.code == 0, said.all
    assert sampan("get", "app", "shop", "-o", "jsonpath={.spec.host}").out == "shop.localhost"


def test_what_a_folder_leaves_open_stays_as_it_was_deployed(sampan: Run, tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    head = "apiVersion: sampan.dev/v1\nkind: App\nmetadata: {name: shop}\n"
    file.write_text(head + "spec: {source: {image: 'shop:1'}}\n")
    sampan("deploy", str(tmp_path), "--port", "8080", "--host", "shop.example", "--no-wait")
    file.write_text(head + "spec: {source: {image: 'shop:2'}}\n")
    assert sampan("deploy", str(tmp_path), "--no-wait").code == 0
    fields = "jsonpath={.spec.source.image} {.spec.port} {.spec.host}"
    assert sampan("get", "app", "shop", "-o", fields).out == "shop:2 8080 shop.example"
    file.write_text(head + "spec: {source: {image: 'shop:2'}, host: null}\n")
    sampan("deploy", str(tmp_path), "--no-wait")
    assert sampan("get", "app", "shop", "-o", fields).out == "shop:2 8080 "


def test_an_app_in_python_is_traced_until_somebody_says_no(sampan: Run, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "apiVersion: sampan.dev/v1\nkind: App\nmetadata: {name: shop}\n"
        "spec: {source: {image: 'shop:1'}, port: 8080, command: [python3, main.py]}\n"
    )

    def annotation() -> str:
        documents = yaml.safe_load_all(sampan("export", "shop").out)
        (deployment,) = (each for each in documents if each["kind"] == "Deployment")
        found: dict[str, str] = deployment["spec"]["template"]["metadata"].get("annotations", {})
        return found.get("instrumentation.opentelemetry.io/inject-python", "")

    said = sampan("deploy", str(tmp_path), "--no-wait")
    assert "guessed: traces by OpenTelemetry's packages for Python, because it runs python3" in said.err
    assert annotation() == "true"
    sampan("deploy", str(tmp_path), "--no-wait", "--env", "A=1")
    assert annotation() == "true", "app.yaml need not repeat it"
    sampan("deploy", str(tmp_path), "--no-wait", "--instrument", "none")
    assert annotation() == ""


def test_instrument_tells_whether_the_packages_are_here(sampan: Run, tmp_path: Path) -> None:
    said = sampan("instrument", "--data-root", str(tmp_path))
    assert (said.code, said.out) == (
        0,
        "python   not fetched yet: the first container that asks brings it, or sampan instrument python\n",
    )
    assert "opentelemetry-distro==" in sampan("instrument", "--show").out
    told = sampan("instrument", "python", "--data-root", str(tmp_path), "--wheels", str(tmp_path / "nowhere"))
    assert told.code == 1 and ("there is no such directory" in told.err or "not root" in told.err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("deploy", "/nowhere"), "there is no such folder"),
        (("deploy", "a", "b"), "name one folder"),
        (("deploy", "--image", "web", "--port", "99999"), "spec.port: Invalid value: 99999"),
        (("deploy", "--image", "web", "--env", "A"), "write A=VALUE"),
        (("deploy", "--image", "1"), "say --name NAME"),
        (("deploy", "--image", "web", "--type", "cron"), "spec.schedule: Required value"),
        (("why", "nothing"), 'neither an app nor a pod "nothing"'),
        (("releases", "nothing"), "`sampan deploy` makes one"),
        (("rollback", "nothing"), 'there is no app "nothing"'),
        (("export",), "name one app"),
    ],
)
def test_what_cannot_be_is_told(sampan: Run, words: tuple[str, ...], told: str) -> None:
    said = sampan(*words)
    assert said.code == 1
    assert told in said.err


def test_a_broken_description_names_every_field(sampan: Run, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "kind: App\nmetadata: {name: shop}\nspec: {source: {image: a}, prt: 1, replicas: 1, scale: {max: 0}}\n"
    )
    said = sampan("deploy", str(tmp_path))
    assert said.code == 1
    for told in ("unknown field spec.prt", "spec.replicas: Forbidden", "spec.scale.max: Required"):
        assert told in said.err


def test_an_app_that_is_not_built_here_needs_its_machine(sampan: Run, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    said = sampan("deploy", str(tmp_path), "--name", "web")
    assert said.code == 1
    assert "images are built on the machine of the cluster" in said.err


def test_releases_and_rollback(sampan: Run) -> None:
    assert "there is no app" in sampan("releases", "web").err
    sampan(*WEB)
    sampan("deploy", "--image", "team/web:2", "-m", "bigger")
    rows = [line.split()[:3] for line in sampan("releases", "web").out.splitlines()]
    assert rows == [["RELEASE", "IMAGE", "STATE"], ["1", "team/web:1", "worked"], ["2", "team/web:2", "live"]]
    said = sampan("rollback", "web")
    assert said.code == 0, said.all
    assert said.out.startswith("web goes back to release 1: team/web:1")
    assert "3         team/web:1   live" in sampan("releases", "web").out
    assert "rollback to release 1" in sampan("releases", "web").out
    assert "there are 1, 2, 3" in sampan("rollback", "web", "9").err
    assert "at release 3 already" in sampan("rollback", "web", "3").out


def test_export_is_plain_kubernetes(sampan: Run) -> None:
    sampan(*WEB, "--secret", "TOKEN", "--volume", "/data", "--no-wait")
    sampan("wait", "secret/web-secret", "--for=create", "--timeout=10s")
    documents = list(yaml.safe_load_all(sampan("export", "web").out))
    assert [each["kind"] for each in documents] == [
        *("Secret", "PersistentVolumeClaim", "Service", "Deployment", "Ingress")
    ]
    assert not any("ownerReferences" in each["metadata"] for each in documents)
    there = yaml.safe_load(sampan("get", "secret", "web-secret", "-o", "yaml").out)["data"]["TOKEN"]
    import base64

    assert base64.b64decode(there).decode() == documents[0]["stringData"]["TOKEN"]


@pytest.mark.cluster(api_kinds=ELSEWHERE, controllers=WITHOUT_APPS)
def test_another_kubernetes(sampan: Run) -> None:
    said = sampan(*WEB, "--timeout", "30s")
    assert said.code == 0, said.all
    assert "the objects that the app stands for are applied instead" in said.err
    assert "deployment.apps/web created" in said.out
    assert "4 service  ok" in said.out
    assert said.out.rstrip().endswith("web is deployed: http://web.default.svc:80")
    again = sampan("deploy", "--image", "team/web:2", "--port", "80", "--no-wait")
    assert "deployment.apps/web configured" in again.out
    assert "service/web unchanged" in again.out
    assert "knows no apps" in sampan("releases", "web").err
    sampan("deploy", "--image", "front:1", "--need", "web=web", "--no-wait")
    needs = sampan("get", "configmap", "front-needs", "-o", "jsonpath={.data}").out
    assert yaml.safe_load(needs) == {"WEB_HOST": "web", "WEB_PORT": "80"}


def test_why_an_app_works(sampan: Run) -> None:
    sampan(*WEB)
    said = sampan("why", "web")
    assert said.code == 0
    assert said.out.startswith("web works: release 1, 1/1 pods ready")


@pytest.mark.cluster(nodes=0)
def test_why_there_is_no_place(sampan: Run) -> None:
    sampan("deploy", "--image", "web:1", "--port", "80", "--no-wait")
    sampan("wait", "app/web", "--for=condition=PodsReady=false", "--timeout=5s")
    sampan("wait", "pod", "-l", "sampan.dev/app=web", "--for=condition=PodScheduled=false", "--timeout=5s")
    said = sampan("why", "web")
    assert said.code == 1
    assert "no node can take it" in said.out
    assert "Next:" in said.out
    pod = sampan("get", "pods", "-o", "jsonpath={.items[0].metadata.name}").out
    assert "no node can take it" in sampan("why", pod).out
    assert "no node can take it" in sampan("why", "deployment/web").out


def test_a_folder_with_an_image_that_was_built_from_a_repository(sampan: Run, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "apiVersion: sampan.dev/v1\nkind: App\nmetadata: {name: shop}\nspec: {source: {path: .}, port: 8080}\n"
    )
    said = sampan("deploy", str(tmp_path), "--image", "shop:7", "--git", "https://x.invalid/shop.git#main", "--no-wait")
    assert said.code == 0, said.all
    app = yaml.safe_load(sampan("get", "app", "shop", "-o", "yaml").out)
    git = {"url": "https://x.invalid/shop.git", "ref": "main"}
    assert app["spec"]["source"] == {"image": "shop:7", "git": git}
    assert app["spec"]["port"] == 8080
    assert "a repository" in sampan("deploy", str(tmp_path), "--git", "https://x.invalid/shop.git").err
    assert "--build-only builds a folder" in sampan("deploy", "--build-only", "--image", "x:1").err
