from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from sampan.pki import Authority, Identity

NODE = Identity("node", "system:node:n1", ("system:nodes",), ("n1", "127.0.0.1"))


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_identity_carries_user_groups_and_hosts(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path / "pki").ensure(NODE)
    subject = load(certificate).subject
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:n1"]
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]
    names = load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_good_certificate_is_kept_and_a_changed_identity_makes_a_new_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first = load(authority.ensure(NODE)[0]).serial_number
    assert load(Authority(tmp_path).ensure(NODE)[0]).serial_number == first
    moved = Identity("node", "system:node:n1", ("system:nodes",), ("n1", "10.0.0.9"))
    assert load(authority.ensure(moved)[0]).serial_number != first


def test_a_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).ensure(NODE)
    before = load(certificate).serial_number
    (tmp_path / "ca.crt").unlink()
    certificate, key = Authority(tmp_path).ensure(NODE)
    assert load(certificate).serial_number != before
    load(certificate).verify_directly_issued_by(load(tmp_path / "ca.crt"))
    ssl.create_default_context().load_cert_chain(certificate, key)


def test_keys_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    for path in (authority.ensure(NODE)[1], authority.token_key(), tmp_path / "pki" / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert authority.token_key().read_bytes() == Authority(tmp_path / "pki").token_key().read_bytes()


def test_a_damaged_key_is_an_error_with_its_path(tmp_path: Path) -> None:
    Authority(tmp_path)
    (tmp_path / "ca.key").write_text("nonsense")
    with pytest.raises(ValueError, match="PEM"):
        Authority(tmp_path)
