from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from sampan.cli import cluster_options
from sampan.cli.context import CommandError
from sampan.config import RUN_ROOT, ClusterConfig


def parse(tmp_path: Path, *arguments: str) -> ClusterConfig:
    parser = argparse.ArgumentParser()
    cluster_options.add(parser)
    cluster_options.add_settings(parser)
    return cluster_options.read(parser.parse_args(["--data-root", str(tmp_path), *arguments]))


def test_addresses_derive_from_the_ranges() -> None:
    cluster = ClusterConfig(pod_cidr="10.9.0.0/16", service_cidr="10.8.0.0/16")
    assert (cluster.service_ip, cluster.dns_ip, cluster.advertise_ip) == ("10.8.0.1", "10.8.0.10", "10.9.0.1")


def test_settings_are_kept_for_the_next_start(tmp_path: Path) -> None:
    cluster_options.keep(parse(tmp_path, "--api-port", "7443", "--bind-address", "127.0.0.1", "--bind-address", "::1"))
    again = parse(tmp_path)
    assert again.api_port == 7443
    assert again.bind_addresses == ("127.0.0.1", "::1")
    assert parse(tmp_path, "--api-port", "8443").api_port == 8443
    assert again.run_root == RUN_ROOT
    assert "name" not in json.loads((tmp_path / "sampan" / "cluster.json").read_text())


def test_every_command_finds_where_a_cluster_runs(tmp_path: Path) -> None:
    cluster_options.keep(parse(tmp_path, "--run-root", "/run/elsewhere"))
    assert parse(tmp_path).run_dir == Path("/run/elsewhere/sampan")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--name", "Upper"], "lower-case"),
        (["--name", "much-too-long-a-name"], "1 to 12"),
        (["--pod-cidr", "10.96.0.0/12"], "overlaps"),
        (["--pod-cidr", "10.0.0.0/30"], "too small"),
        (["--pod-cidr", "ten"], "does not appear to be"),
    ],
)
def test_wrong_settings_are_refused_in_words(tmp_path: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        parse(tmp_path, *arguments)
