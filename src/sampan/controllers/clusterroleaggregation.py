"""ClusterRoles that are the union of others, chosen by label: admin, edit and view grow with every CRD's roles."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api import selectors
from sampan.api.types import rbac_v1
from sampan.client.cache import Key
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Plan, Update, View
from sampan.runtime.controller import Controller, Watch, unless_unchanged


def plan(role: rbac_v1.ClusterRole, view: View) -> Plan:
    if role.aggregationRule is None or role.metadata.deletionTimestamp is not None:
        return
    rules: list[rbac_v1.PolicyRule] = []
    for struct in role.aggregationRule.clusterRoleSelectors:
        selector = selectors.label_selector(struct)
        chosen = [each for each in view.all(rbac_v1.ClusterRole) if selector.matches(each.metadata.labels)]
        for other in sorted(chosen, key=lambda each: each.metadata.name or ""):
            if other.metadata.name != role.metadata.name:
                rules += [rule for rule in other.rules if rule not in rules]
    if tuple(rules) != role.rules:
        yield Update(replace(role, rules=tuple(rules)))


def _aggregating(role: rbac_v1.ClusterRole, view: View) -> Iterable[Key]:
    return [
        ("", each.metadata.name or "")
        for each in view.all(rbac_v1.ClusterRole)
        if each.aggregationRule is not None and each.metadata.name != role.metadata.name
    ]


def declare(settings: Settings) -> Controller:
    changed = unless_unchanged(lambda role: (role.rules, role.metadata.labels, role.aggregationRule))
    return Controller(
        name="clusterrole-aggregation-controller",
        primary=rbac_v1.ClusterRole,
        plan=plan,
        changed=changed,
        watches=(Watch(rbac_v1.ClusterRole, _aggregating, changed),),
    )
