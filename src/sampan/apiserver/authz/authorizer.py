"""The whole of authorization: privileged users, then nodes, then roles; the first that allows decides."""

from __future__ import annotations

from sampan.api.types.rbac_v1 import PolicyRule
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authz.escalation import Escalation
from sampan.apiserver.authz.node import NodeAuthorizer
from sampan.apiserver.authz.rbac import Rbac
from sampan.apiserver.contracts import Attributes, Decision, View

_MASTER = Decision(True)


class Authorization:
    """An Authorizer for the handler chain; `escalation` judges writes of roles and bindings."""

    def __init__(self, view: View) -> None:
        self.rbac = Rbac(view)
        self.node = NodeAuthorizer(view)
        self.escalation = Escalation(self.rbac, self)

    def __call__(self, attributes: Attributes) -> Decision:
        user = attributes.user
        if users.MASTERS in user.groups:
            return _MASTER
        reason = ""
        if users.NODES in user.groups:
            decision = self.node(attributes)
            if decision.allowed:
                return decision
            reason = decision.reason
        decision = self.rbac(attributes)
        if decision.allowed or not reason:
            return decision
        joined = f"{reason}\n{decision.reason}" if decision.reason else reason
        return Decision(False, joined, decision.evaluation_error)

    def rules_for(self, user: User, namespace: str) -> tuple[list[PolicyRule], list[str]]:
        """(rules, errors): what SelfSubjectRulesReview lists. What a node may do by being a node is not in it."""
        return self.rbac.rules_for(user, namespace)
