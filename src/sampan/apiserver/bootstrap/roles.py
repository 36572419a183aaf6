"""The cluster roles that every cluster has, controllers' aside: name -> (rules, labels, aggregated label).

Source: upstream's RBAC bootstrap policy of v1.37 (documented under "Default roles and role bindings").
"""

from __future__ import annotations

from typing import NamedTuple

from sampan.api.kinds.kind import Document
from sampan.apiserver.bootstrap.rules import ALL, EVENTS, READ, READ_UPDATE, WRITE, rule, urls

AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
CERTIFICATES = "certificates.k8s.io"
STORAGE = "storage.k8s.io"
RESOURCE = "resource.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
COORDINATION = "coordination.k8s.io"
NETWORKING = "networking.k8s.io"

_POD_DOORS = "pods/attach pods/exec pods/portforward pods/proxy"
_SCALED = "deployments/scale replicasets/scale"


class Role(NamedTuple):
    """`feeds` is the role that this one's rules are added to; `gathers` the word of the roles it consists of."""

    rules: tuple[Document, ...] = ()
    feeds: str = ""
    gathers: str = ""


_DELEGATION = (
    rule("create", AUTHENTICATION, "tokenreviews"),
    rule("create", AUTHORIZATION, "subjectaccessreviews"),
)

EDIT = (
    rule(READ, "core", f"{_POD_DOORS} secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", f"pods {_POD_DOORS}"),
    rule("create", "core", "pods/eviction"),
    rule(
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets"
        " serviceaccounts services services/proxy",
    ),
    rule("create", "core", "serviceaccounts/token"),
    rule(
        WRITE,
        "apps",
        f"daemonsets deployments deployments/rollback {_SCALED} replicasets statefulsets statefulsets/scale",
    ),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(
        WRITE,
        "extensions",
        f"daemonsets deployments deployments/rollback {_SCALED} ingresses networkpolicies replicasets"
        " replicationcontrollers/scale",
    ),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, NETWORKING, "ingresses networkpolicies"),
    rule(ALL, COORDINATION, "leases"),
    rule(WRITE, RESOURCE, "resourceclaims resourceclaimtemplates"),
)

VIEW = (
    rule(
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers"
        " replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status"
        " resourcequotas resourcequotas/status",
    ),
    rule(READ, "core", "namespaces"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets"
        " replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status"
        " networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, NETWORKING, "ingresses ingresses/status networkpolicies"),
    rule(READ, RESOURCE, "resourceclaims resourceclaims/status resourceclaimtemplates"),
)

ADMIN = (
    rule("create", AUTHORIZATION, "localsubjectaccessreviews"),
    rule(ALL, "rbac.authorization.k8s.io", "rolebindings roles"),
)

NODE = (
    rule("create", AUTHENTICATION, "tokenreviews"),
    rule("create", AUTHORIZATION, "localsubjectaccessreviews subjectaccessreviews"),
    rule(READ, "core", "services"),
    rule(f"create {READ}", "core", "nodes"),
    rule("update patch", "core", "nodes/status"),
    rule("update patch", "core", "nodes"),
    rule("create update patch", "core", "events"),
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("update patch", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(READ, "core", "configmaps secrets"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    rule(f"create {READ}", CERTIFICATES, "certificatesigningrequests"),
    rule("get create update patch delete", COORDINATION, "leases"),
    rule("get", STORAGE, "volumeattachments"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get", "core", "serviceaccounts"),
    rule("get update patch", "core", "persistentvolumeclaims/status"),
    rule(READ, STORAGE, "csidrivers"),
    rule("get create update patch delete", STORAGE, "csinodes"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
    rule("get", RESOURCE, "resourceclaims"),
    rule("deletecollection", RESOURCE, "resourceslices"),
    rule(READ, CERTIFICATES, "clustertrustbundles"),
    rule(f"create {READ}", CERTIFICATES, "podcertificaterequests"),
)

SCHEDULER = (
    EVENTS,
    rule("create", COORDINATION, "leases"),
    rule("get update", COORDINATION, "leases", "kube-scheduler"),
    rule(READ, "core", "nodes"),
    rule(f"{READ} delete", "core", "pods"),
    rule("create", "core", "bindings pods/binding"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "core", "replicationcontrollers services"),
    rule(READ, "apps extensions", "replicasets"),
    rule(READ, "apps", "statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
    *_DELEGATION,
    rule(READ, STORAGE, "csinodes"),
    rule(READ, "core", "namespaces"),
    rule(READ, STORAGE, "csidrivers"),
    rule(READ, STORAGE, "csistoragecapacities"),
    rule(READ, STORAGE, "volumeattachments"),
    rule(READ, RESOURCE, "deviceclasses"),
    rule(READ_UPDATE, RESOURCE, "resourceclaims"),
    rule(READ_UPDATE, RESOURCE, "resourceclaims/status"),
    rule(READ, RESOURCE, "resourceslices"),
    rule("update", "core", "pods/finalizers"),
    rule(READ, RESOURCE, "devicetaintrules"),
)

CONTROLLER_MANAGER = (
    EVENTS,
    rule("create", COORDINATION, "leases"),
    rule("get update", COORDINATION, "leases", "kube-controller-manager"),
    rule("create", "core", "secrets serviceaccounts"),
    rule("delete", "core", "secrets"),
    rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
    rule("update", "core", "secrets serviceaccounts"),
    *_DELEGATION,
    rule("list watch", "*", "*"),
    rule("create", "core", "serviceaccounts/token"),
)

_HEALTH = "/healthz /livez /readyz"


def _approver(signer: str) -> Role:
    return Role((rule("approve", CERTIFICATES, "signers", f"kubernetes.io/{signer}"),))


_CSR = "system:certificates.k8s.io:"
ROLES: dict[str, Role] = {
    "cluster-admin": Role((rule("*", "*", "*"), urls("*", "*"))),
    "admin": Role(gathers="admin"),
    "edit": Role(feeds="admin", gathers="edit"),
    "view": Role(feeds="edit", gathers="view"),
    "system:aggregate-to-admin": Role(ADMIN, feeds="admin"),
    "system:aggregate-to-edit": Role(EDIT, feeds="edit"),
    "system:aggregate-to-view": Role(VIEW, feeds="view"),
    "system:aggregated-metrics-reader": Role((rule(READ, "metrics.k8s.io", "nodes pods"),), feeds="view"),
    "system:discovery": Role(
        (urls("get", f"/api /api/* /apis /apis/* {_HEALTH} /openapi /openapi/* /version /version/"),)
    ),
    "system:monitoring": Role(
        (urls("get", f"/flagz /metrics /metrics/slis /statusz {_HEALTH} /healthz/* /livez/* /readyz/*"),)
    ),
    "system:basic-user": Role(
        (
            rule("create", AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews"),
            rule("create", AUTHENTICATION, "selfsubjectreviews"),
        )
    ),
    "system:public-info-viewer": Role((urls("get", f"{_HEALTH} /version /version/"),)),
    "system:heapster": Role(
        (rule(READ, "core", "events namespaces nodes pods"), rule(READ, "extensions", "deployments"))
    ),
    "system:node": Role(NODE),
    "system:node-problem-detector": Role((rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS)),
    "system:kubelet-api-admin": Role(
        (
            rule(READ, "core", "nodes"),
            rule("proxy", "core", "nodes"),
            rule(
                "*",
                "core",
                "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
            ),
        )
    ),
    "system:node-bootstrapper": Role((rule(f"create {READ}", CERTIFICATES, "certificatesigningrequests"),)),
    "system:auth-delegator": Role(_DELEGATION),
    "system:kube-aggregator": Role((rule(READ, "core", "endpoints services"),)),
    "system:kube-controller-manager": Role(CONTROLLER_MANAGER),
    "system:kube-dns": Role((rule("list watch", "core", "endpoints services"),)),
    "system:persistent-volume-provisioner": Role(
        (
            rule(f"{READ} create delete", "core", "persistentvolumes"),
            rule(f"{READ} update", "core", "persistentvolumeclaims"),
            rule(READ, STORAGE, "storageclasses"),
            rule("watch", "core", "events"),
            EVENTS,
        )
    ),
    f"{_CSR}certificatesigningrequests:nodeclient": Role(
        (rule("create", CERTIFICATES, "certificatesigningrequests/nodeclient"),)
    ),
    f"{_CSR}certificatesigningrequests:selfnodeclient": Role(
        (rule("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient"),)
    ),
    "system:volume-scheduler": Role(
        (
            rule(READ_UPDATE, "core", "persistentvolumes"),
            rule(READ, STORAGE, "storageclasses"),
            rule(READ_UPDATE, "core", "persistentvolumeclaims"),
        )
    ),
    f"{_CSR}legacy-unknown-approver": _approver("legacy-unknown"),
    f"{_CSR}kubelet-serving-approver": _approver("kubelet-serving"),
    f"{_CSR}kube-apiserver-client-approver": _approver("kube-apiserver-client"),
    f"{_CSR}kube-apiserver-client-kubelet-approver": _approver("kube-apiserver-client-kubelet"),
    "system:service-account-issuer-discovery": Role(
        (
            urls(
                "get",
                "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            ),
        )
    ),
    "system:node-proxier": Role(
        (
            rule("list watch", "core", "endpoints services"),
            rule(READ, "core", "nodes"),
            EVENTS,
            rule("list watch", "discovery.k8s.io", "endpointslices"),
            rule("list watch", NETWORKING, "servicecidrs"),
        )
    ),
    "system:kube-scheduler": Role(SCHEDULER),
    "system:cluster-trust-bundle-discovery": Role((rule(READ, CERTIFICATES, "clustertrustbundles"),)),
    # Sampan's own kinds: whoever may change Deployments may change apps, whoever may read them may read apps.
    "sampan:aggregate-to-edit": Role((rule(WRITE, "sampan.dev", "apps pipelineruns"),), feeds="edit"),
    # What publishes Ingresses: it may read the certificates that they name.
    "sampan:ingress": Role(
        (
            rule(READ, NETWORKING, "ingresses"),
            rule("update patch", NETWORKING, "ingresses/status"),
            rule(f"create {READ}", NETWORKING, "ingressclasses"),
            rule(READ, "core", "configmaps secrets"),
            EVENTS,
        )
    ),
    # What runs pipelines: pods for their steps, credentials from Secrets, and in the end the App with its new image.
    "sampan:delivery": Role(
        (
            rule(f"{READ} create delete patch update", "sampan.dev", "pipelineruns"),
            rule("update patch", "sampan.dev", "pipelineruns/status"),
            rule(f"{READ} create patch update", "sampan.dev", "apps"),
            rule(f"{READ} create delete", "core", "pods"),
            rule("get", "core", "pods/log"),
            rule("create get", "core", "pods/exec"),
            rule("get", "core", "configmaps namespaces nodes secrets"),
            rule(READ, "core", "events persistentvolumeclaims services"),
            rule(READ, "apps", "controllerrevisions daemonsets deployments replicasets statefulsets"),
            EVENTS,
        )
    ),
    # What takes pushes and webhooks: who is it, may they, is it signed; and then a run.
    "sampan:git": Role(
        (
            rule("create", AUTHENTICATION, "tokenreviews"),
            rule("create", AUTHORIZATION, "subjectaccessreviews"),
            rule("create get", "sampan.dev", "pipelineruns"),
            rule("get", "sampan.dev", "apps"),
            rule("get list", "core", "namespaces"),
            rule("get", "core", "secrets"),
            EVENTS,
        )
    ),
    "sampan:aggregate-to-view": Role(
        (
            rule(READ, "sampan.dev", "apps apps/status"),
            rule(READ, "sampan.dev", "pipelineruns pipelineruns/artifacts pipelineruns/log pipelineruns/status"),
        ),
        feeds="view",
    ),
}

_MASTERS, _AUTHENTICATED = "Group system:masters", "Group system:authenticated"
BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": (_MASTERS,),
    "system:monitoring": ("Group system:monitoring",),
    "system:discovery": (_AUTHENTICATED,),
    "system:basic-user": (_AUTHENTICATED,),
    "system:public-info-viewer": (_AUTHENTICATED, "Group system:unauthenticated"),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    # Nodes get their rights from the Node authorizer; the binding stays, for nobody.
    "system:node": (),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:cluster-trust-bundle-discovery": ("Group system:serviceaccounts",),
    "sampan:ingress": ("User system:sampan:ingress",),
    "sampan:delivery": ("User system:sampan:delivery",),
    "sampan:git": ("User system:sampan:git",),
}
"""Cluster role -> subjects of the binding of the same name."""
