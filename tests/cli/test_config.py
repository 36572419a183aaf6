from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from sampan.cli.context import CommandError
from sampan.cli.kubectl import config, credentials, flags
from tests.cli.conftest import Said, call


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sampan x")
    flags.set_up(parser)
    return parser.parse_args(words)


def write(path: Path, **parts: object) -> Path:
    document = {"apiVersion": "v1", "kind": "Config", **{key.replace("_", "-"): value for key, value in parts.items()}}
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text("CA")
    return write(
        tmp_path / "config",
        clusters=[
            {"name": "one", "cluster": {"server": "https://one:6443", "certificate-authority": "ca.crt"}},
            {"name": "two", "cluster": {"server": "https://two", "certificate-authority-data": encoded("CA2")}},
        ],
        users=[
            {"name": "alice", "user": {"token": "t0ken"}},
            {"name": "bob", "user": {"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY")}},
        ],
        contexts=[
            {"name": "first", "context": {"cluster": "one", "user": "alice", "namespace": "blue"}},
            {"name": "second", "context": {"cluster": "two", "user": "bob"}},
        ],
        current_context="first",
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def run(file: Path, *words: str) -> Said:
    return call(words, "", {"KUBECONFIG": str(file), "HOME": "/nonexistent"})


def test_the_current_context_counts(file: Path) -> None:
    found = config.target(options(), {"KUBECONFIG": str(file)})
    assert (found.server, found.namespace, found.headers) == (
        "https://one:6443",
        "blue",
        {"authorization": "Bearer t0ken"},
    )
    assert found.ca_file == str(file.parent / "ca.crt")


def test_flags_win_over_files(file: Path) -> None:
    found = config.target(
        options("--context=second", "-n", "red", "--server", "https://x", "--as=eve"), {"KUBECONFIG": str(file)}
    )
    assert (found.server, found.namespace, found.certificate, found.key) == ("https://x", "red", b"CERT", b"KEY")
    assert found.headers == {"impersonate-user": "eve"}
    assert found.ca_data == b"CA2"
    found = config.target(
        options("--context=second", "--certificate-authority", "other.crt"), {"KUBECONFIG": str(file)}
    )
    assert (found.ca_data, found.ca_file) == (None, "other.crt")


def test_of_several_files_the_first_that_knows_counts(file: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", users=[{"name": "alice", "user": {"token": "mine"}}], current_context="second")
    environ = {"KUBECONFIG": os.pathsep.join((str(tmp_path / "absent"), str(other), str(file)))}
    assert config.target(options("--context=first"), environ).headers["authorization"] == "Bearer mine"
    assert config.target(options(), environ).server == "https://two"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--context=nope"], 'error: context "nope" does not exist'),
        (["--cluster=nope"], 'error: cluster "nope" does not exist'),
        (["--user=nope"], 'error: user "nope" does not exist'),
        (["--kubeconfig=/nonexistent"], "error: stat /nonexistent: no such file or directory"),
    ],
)
def test_what_is_not_there_is_told(file: Path, words: list[str], message: str) -> None:
    with pytest.raises(CommandError) as caught:
        config.target(options(*words), {"KUBECONFIG": str(file)})
    assert str(caught.value) == message


def test_without_any_file_it_is_localhost() -> None:
    assert config.target(options(), {"KUBECONFIG": "/nonexistent", "HOME": "/"}).server == "http://localhost:8080"


def test_a_file_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{")
    with pytest.raises(CommandError, match="error loading config file"):
        config.target(options(), {"KUBECONFIG": str(tmp_path / "config")})


def test_a_program_may_give_the_credentials() -> None:
    code = "import json, os; v = json.loads(os.environ['KUBERNETES_EXEC_INFO'])['apiVersion']; "
    code += "print(json.dumps({'apiVersion': v, 'kind': 'ExecCredential', 'status': {'token': os.environ['T']}}))"
    plugin = {"command": sys.executable, "args": ["-c", code], "env": [{"name": "T", "value": "secret"}]}
    assert credentials.ask(plugin) == {"token": "secret"}


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ({"command": "/nonexistent/x", "installHint": "install x"}, "not found\n\ninstall x"),
        ({"command": "false"}, "failed with exit code 1"),
        ({"command": "echo", "args": ["nothing"]}, "gave no ExecCredential"),
    ],
)
def test_a_program_that_fails_is_told(plugin: dict[str, object], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        credentials.ask(plugin)


def test_contexts_are_listed_and_chosen(file: Path) -> None:
    assert run(file, "config", "get-contexts").out == (
        "CURRENT   NAME     CLUSTER   AUTHINFO   NAMESPACE\n"
        "*         first    one       alice      blue\n"
        "          second   two       bob        \n"
    )
    assert run(file, "config", "use-context", "second").out == 'Switched to context "second".\n'
    assert run(file, "config", "current-context").out == "second\n"
    assert run(file, "config", "use-context", "third").err == 'error: no context exists with the name: "third"\n'
    assert run(file, "config", "get-contexts", "-o", "name").out == "first\nsecond\n"


def test_contexts_are_changed(file: Path) -> None:
    assert run(file, "config", "set-context", "--current", "-n", "green").out == 'Context "first" modified.\n'
    assert run(file, "config", "view", "-o", "jsonpath={.contexts[0].context.namespace}").out in ("green", "")
    assert config.target(options(), {"KUBECONFIG": str(file)}).namespace == "green"
    assert run(file, "config", "rename-context", "first", "prime").out == 'Context "first" renamed to "prime".\n'
    assert run(file, "config", "current-context").out == "prime\n"
    assert run(file, "config", "delete-context", "prime").out == f"deleted context prime from {file}\n"
    assert run(file, "config", "delete-context", "prime").code == 1


def test_clusters_and_users_are_made(file: Path) -> None:
    ca = str(file.parent / "ca.crt")
    words = (
        "config",
        "set-cluster",
        "three",
        "--server=https://three",
        f"--certificate-authority={ca}",
        "--embed-certs",
    )
    assert run(file, *words).out == 'Cluster "three" set.\n'
    assert run(file, "config", "set-credentials", "carol", "--token=abc").out == 'User "carol" set.\n'
    assert run(file, "config", "set-context", "third", "--cluster=three", "--user=carol").out == (
        'Context "third" created.\n'
    )
    found = config.target(options("--context=third"), {"KUBECONFIG": str(file)})
    assert (found.server, found.ca_data, found.headers) == ("https://three", b"CA", {"authorization": "Bearer abc"})


def test_a_view_hides_secrets(file: Path) -> None:
    shown = run(file, "config", "view").out
    assert "t0ken" not in shown and "REDACTED" in shown and "DATA+OMITTED" in shown
    assert "t0ken" in run(file, "config", "view", "--raw").out
    small = json.loads(run(file, "config", "view", "--minify", "-o", "json").out)
    assert [each["name"] for each in small["clusters"]] == ["one"]


def test_values_are_set_and_unset(file: Path) -> None:
    assert run(file, "config", "set", "contexts.first.namespace", "pink").out == (
        'Property "contexts.first.namespace" set.\n'
    )
    assert config.target(options(), {"KUBECONFIG": str(file)}).namespace == "pink"
    run(file, "config", "unset", "contexts.first.namespace")
    assert config.target(options(), {"KUBECONFIG": str(file)}).namespace == "default"
    run(file, "config", "unset", "current-context")
    assert run(file, "config", "current-context").err == "error: current-context is not set\n"


def test_a_server_that_nobody_is_at(tmp_path: Path) -> None:
    said = call(("get", "pods", "-s", "http://127.0.0.1:1"), "", {"KUBECONFIG": "/nonexistent", "HOME": "/"})
    assert (said.code, said.err) == (
        1,
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n",
    )
