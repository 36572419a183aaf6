"""Address leases: unique, kept over restarts, given again as late as possible."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.network.ipam import Exhausted, HostPort, Ipam


def test_the_first_address_is_the_gateways_and_an_owner_has_one(tmp_path: Path) -> None:
    ipam = Ipam(tmp_path, "10.244.3.0/24")
    ipam.load()
    assert ipam.gateway == "10.244.3.1"
    assert ipam.take("a").address == "10.244.3.2"
    assert ipam.take("a").address == "10.244.3.2"
    assert ipam.take("b").address == "10.244.3.3"


def test_a_released_address_is_the_last_to_be_given_again(tmp_path: Path) -> None:
    ipam = Ipam(tmp_path, "10.0.0.0/29")
    ipam.load()
    first = ipam.take("a").address
    assert ipam.release("a") is not None
    assert ipam.release("a") is None
    others = [ipam.take(f"b{at}").address for at in range(4)]
    assert first not in others
    assert ipam.take("c").address == first
    with pytest.raises(Exhausted, match=r"no free address in 10\.0\.0\.0/29: all 5 are taken"):
        ipam.take("d")


def test_leases_outlive_the_process(tmp_path: Path) -> None:
    old = Ipam(tmp_path, "10.244.0.0/24")
    old.load()
    lease = old.take("a", (HostPort("tcp", "", 80, 8080),))
    old.take("b")
    (tmp_path / "torn").write_bytes(b'{"owner": "torn", "addr')
    new = Ipam(tmp_path, "10.244.0.0/24")
    new.load()
    assert new.leases["a"] == lease
    assert new.take("c").address == "10.244.0.4"
    assert not (tmp_path / "torn").exists()
    new.clear()
    new.clear()
    assert not tmp_path.exists()


def test_an_owner_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    ipam = Ipam(tmp_path, "10.244.0.0/24")
    ipam.load()
    with pytest.raises(ValueError, match="no sandbox ID"):
        ipam.take("../x")
    assert ipam.leases == {}


@given(moves=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_no_address_has_two_owners(tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[bool, int]]) -> None:
    directory = tmp_path_factory.mktemp("ipam")
    ipam = Ipam(directory, "10.0.0.0/28")
    ipam.load()
    for take, owner in moves:
        if take:
            ipam.take(str(owner))
        else:
            ipam.release(str(owner))
        addresses = [lease.address for lease in ipam.leases.values()]
        assert len(set(addresses)) == len(addresses)
        again = Ipam(directory, "10.0.0.0/28")
        again.load()
        assert again.leases == ipam.leases
