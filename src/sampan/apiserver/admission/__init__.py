"""What every write passes between authorization and storage, in upstream's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sampan.apiserver.admission.accounts import ServiceAccount
from sampan.apiserver.admission.base import Plugin
from sampan.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateRequester,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from sampan.apiserver.admission.definitions import DefinitionWarnings, PolicyWarnings
from sampan.apiserver.admission.limits import LimitRanger
from sampan.apiserver.admission.namespaces import NamespaceLifecycle
from sampan.apiserver.admission.noderestriction import NodeRestriction
from sampan.apiserver.admission.pods import (
    DefaultTolerationSeconds,
    Priority,
    RuntimeClass,
    TaintNodesByCondition,
)
from sampan.apiserver.admission.podsecurity import PodSecurity
from sampan.apiserver.admission.quota import ResourceQuota
from sampan.apiserver.admission.roles import RoleEscalation
from sampan.apiserver.admission.runs import RunTrigger
from sampan.apiserver.admission.secrets import ServiceAccountToken
from sampan.apiserver.admission.storage import (
    DefaultIngressClass,
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from sampan.apiserver.admission.waiting import Appears
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.contracts import View
from sampan.apiserver.resource import Resources
from sampan.apiserver.tokens.keys import Signer


def plugins(
    view: View,
    authorization: Authorization,
    signer: Signer | None = None,
    appears: Appears | None = None,
    resources: Callable[[], Resources] | None = None,
    webhooks: Sequence[Plugin] = (),
) -> tuple[Plugin, ...]:
    """All plugins, each once, in the order in which a write passes them.

    Without a `signer` nobody fills in Secrets of type kubernetes.io/service-account-token; without `appears`
    a pod that comes before its namespace's default account is refused at once; without `resources`, by which they are
    written, quotas hold nobody back. `webhooks` are those plugins that ask webhooks.
    """
    found: list[Plugin] = [
        NamespaceLifecycle(view),
        LimitRanger(view),
        ServiceAccount(view, appears),
        NodeRestriction(view, authorization),
        TaintNodesByCondition(),
        PodSecurity(view),
        Priority(view),
        DefaultTolerationSeconds(),
        DefaultStorageClass(view),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(view),
        RuntimeClass(view),
        CertificateRequester(),
        CertificateApproval(authorization),
        CertificateSigning(authorization),
        CertificateSubjectRestriction(),
        DefaultIngressClass(view),
        RoleEscalation(authorization.escalation),
        RunTrigger(),
        DefinitionWarnings(),
        PolicyWarnings(),
    ]
    if signer is not None:
        found.append(ServiceAccountToken(view, signer))
    found += webhooks
    if resources is not None:
        found.append(ResourceQuota(view, resources))
    return tuple(found)
