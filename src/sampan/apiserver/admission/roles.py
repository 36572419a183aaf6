"""The check against escalation as a plugin: it judges the final document of roles and bindings.

Upstream does this in storage; here every write passes admission, so it needs no place of its own.
"""

from __future__ import annotations

from sampan.apiserver.admission.base import Plugin
from sampan.apiserver.authz.escalation import KINDS, Escalation
from sampan.apiserver.contracts import Admission


class RoleEscalation(Plugin):
    name = "RoleEscalation"
    handles = tuple(f"{plural}.rbac.authorization.k8s.io" for plural in KINDS)

    def __init__(self, escalation: Escalation) -> None:
        self._escalation = escalation

    def validate(self, admission: Admission) -> None:
        if admission.document is not None and not admission.attributes.subresource:
            self._escalation.check(admission.attributes.user, admission.kind, admission.document, admission.old)
