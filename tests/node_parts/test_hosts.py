from __future__ import annotations

from pathlib import Path

from sampan.node.hosts import HostsFile, host_names
from tests.node_parts.pods import pod


def hosts(spec: str, *ips: str, host_file: Path = Path("/nonexistent")) -> str:
    return HostsFile("cluster.local", host_file)(pod(spec + "\ncontainers: [{name: c, image: i}]"), ips)


def test_a_pods_own_name_and_addresses() -> None:
    assert hosts("", "10.1.0.5", "fd00::5") == (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost\tip6-localhost\tip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
        "10.1.0.5\tweb\n"
        "fd00::5\tweb\n"
    )


def test_a_subdomain_gives_the_whole_name() -> None:
    assert "10.1.0.5\tbusy.box.default.svc.cluster.local\tbusy\n" in hosts("hostname: busy\nsubdomain: box", "10.1.0.5")


def test_aliases_follow() -> None:
    text = hosts(
        "hostAliases: [{ip: 123.45.67.89, hostnames: [foo, bar]}, {ip: 1.2.3.4, hostnames: [baz]}]", "10.1.0.5"
    )
    assert text.endswith("\n\n# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n1.2.3.4\tbaz\n")


def test_on_the_hosts_network_the_file_is_the_hosts(tmp_path: Path) -> None:
    own = tmp_path / "hosts"
    own.write_text("127.0.0.1 localhost\n")
    text = hosts("hostNetwork: true\nhostAliases: [{ip: 1.2.3.4, hostnames: [baz]}]", "192.0.2.7", host_file=own)
    assert text == (
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"
        "\n# Entries added by HostAliases.\n1.2.3.4\tbaz\n"
    )


def test_a_host_without_the_file_has_an_empty_one() -> None:
    assert hosts("hostNetwork: true") == "# Kubernetes-managed hosts file (host network).\n"


def test_names_fit_the_kernel() -> None:
    name, domain = host_names(pod("containers: []", name="a" * 62 + "-.b"), "cluster.local")
    assert (name, domain) == ("a" * 62, "")


def test_an_override_is_the_whole_name() -> None:
    one = pod("hostnameOverride: x.example\nhostname: h\nsubdomain: s\ncontainers: []")
    assert host_names(one, "cluster.local") == ("x.example", "")
