from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver.authn import asked, impersonate
from sampan.apiserver.authz.authorizer import Authorization
from tests.apiserver_security.memory import Memory, bind, role, rule, who

ROOT = who("root", "system:masters")
JANE = who("jane", "system:authenticated")


def authorize(*rules) -> Authorization:
    return Authorization(Memory(role("r", *rules), bind("b", "r", "User jane")))


def test_requests_without_the_headers_stay_who_they_are() -> None:
    assert not asked({"accept": "*/*"})
    assert asked({"impersonate-uid": "x"})
    assert impersonate(JANE, {"accept": "*/*"}, authorize()) is JANE


def test_a_user_with_groups_uid_and_extra() -> None:
    headers = {
        "impersonate-user": "bob",
        "impersonate-group": "devs, ops",
        "impersonate-uid": "u-1",
        "impersonate-extra-example.com%2fscope": "a,b",
    }
    user = impersonate(ROOT, headers, authorize())
    assert (user.name, user.uid, user.groups) == ("bob", "u-1", ("devs", "ops", "system:authenticated"))
    assert user.extra == {"example.com/scope": ("a", "b")}


def test_an_account_brings_its_groups() -> None:
    user = impersonate(ROOT, {"impersonate-user": "system:serviceaccount:shop:builder"}, authorize())
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")


def test_the_anonymous_user_is_not_known() -> None:
    assert impersonate(ROOT, {"impersonate-user": "system:anonymous"}, authorize()).groups == (
        "system:unauthenticated",
    )
    headers = {"impersonate-user": "bob", "impersonate-group": "system:unauthenticated"}
    assert impersonate(ROOT, headers, authorize()).groups == ("system:unauthenticated",)


@pytest.mark.parametrize(
    ("headers", "given", "message"),
    [
        (
            {"impersonate-user": "bob"},
            rule("get", "pods"),
            'users "bob" is forbidden: User "jane" cannot impersonate resource "users" in API group "" '
            "at the cluster scope",
        ),
        (
            {"impersonate-user": "bob", "impersonate-group": "system:masters"},
            rule("impersonate", "users"),
            'groups "system:masters" is forbidden: User "jane" cannot impersonate resource "groups" in API group "" '
            "at the cluster scope",
        ),
        (
            {"impersonate-user": "system:serviceaccount:shop:builder"},
            rule("impersonate", "users"),
            'serviceaccounts "builder" is forbidden: User "jane" cannot impersonate resource "serviceaccounts" '
            'in API group "" in the namespace "shop"',
        ),
        (
            {"impersonate-user": "bob", "impersonate-uid": "u"},
            rule("impersonate", "users"),
            'uids.authentication.k8s.io "u" is forbidden: User "jane" cannot impersonate resource "uids" in API group '
            '"authentication.k8s.io" at the cluster scope',
        ),
        (
            {"impersonate-user": "bob", "impersonate-extra-scope": "all"},
            rule("impersonate", "users"),
            'userextras.authentication.k8s.io "all" is forbidden: User "jane" cannot impersonate resource '
            '"userextras/scope" in API group "authentication.k8s.io" at the cluster scope',
        ),
    ],
)
def test_every_part_needs_its_own_permission(headers, given, message) -> None:
    with pytest.raises(StatusError) as error:
        impersonate(JANE, headers, authorize(given))
    assert str(error.value) == message


def test_a_name_limits_whom_one_may_become() -> None:
    decide = authorize(rule("impersonate", "users", names="bob"))
    assert impersonate(JANE, {"impersonate-user": "bob"}, decide).name == "bob"
    with pytest.raises(StatusError):
        impersonate(JANE, {"impersonate-user": "eve"}, decide)


def test_groups_without_a_user_are_an_error() -> None:
    with pytest.raises(StatusError) as error:
        impersonate(ROOT, {"impersonate-group": "devs"}, authorize())
    assert error.value.code == 500
    assert "without impersonating a user" in str(error.value)
