"""One valid object of every stored kind of upstream's, by the kind's name in messages."""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Document = dict[str, Any]
LABELS = {"a": "b"}
SELECTOR = {"matchLabels": LABELS}
CONTAINERS = [{"name": "main", "image": "app:1"}]
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": CONTAINERS}}
JOB = {"spec": {"containers": CONTAINERS, "restartPolicy": "Never"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
DEVICES = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "class.example.com"}}]}}
MATCH = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}]}
TARGET = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
TIME = "2026-01-02T03:04:05.000000Z"
ABOUT = {"kind": "Pod", "namespace": "default", "name": "p", "apiVersion": "v1"}
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
SUBJECTS = [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]
SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


def role(kind: str) -> Document:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r"}


def webhooks() -> Document:
    rules = [{"apiGroups": ["x.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["xs"]}]
    return {
        "webhooks": [
            {
                "name": "a.hooks.example.com",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": rules,
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ]
    }


def policy(**more: Any) -> Document:
    return {"spec": {"matchConstraints": MATCH, **more}}


def signing_request() -> Document:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {"request": base64.b64encode(pem).decode(), "signerName": "example.com/s", "usages": ["client auth"]}
    return {"spec": spec}


def definition() -> Document:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": SCHEMA}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"spec": spec}


SAMPLES: dict[str, Document] = {
    "configmaps": {"data": {"k": "v"}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"port": 80}]}]},
    "events": {"involvedObject": ABOUT, "reason": "r", "message": "m", "type": "Normal"},
    "limitranges": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    "namespaces": {},
    "nodes": {},
    "persistentvolumeclaims": {"spec": CLAIM},
    "persistentvolumes": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    "pods": {"spec": {"containers": CONTAINERS}},
    "podtemplates": {"template": TEMPLATE},
    "replicationcontrollers": {"spec": {"replicas": 0, "selector": LABELS, "template": TEMPLATE}},
    "resourcequotas": {"spec": {"hard": {"count/widgets.example.com": "1"}}},
    "secrets": {"stringData": {"k": "v"}},
    "serviceaccounts": {},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "mutatingadmissionpolicies.admissionregistration.k8s.io": policy(
        reinvocationPolicy="Never", mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]
    ),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": {"spec": {"policyName": "p"}},
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": webhooks(),
    "validatingadmissionpolicies.admissionregistration.k8s.io": policy(validations=[{"expression": "true"}]),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": {
        "spec": {"policyName": "p", "validationActions": ["Deny"]}
    },
    "validatingwebhookconfigurations.admissionregistration.k8s.io": webhooks(),
    "customresourcedefinitions.apiextensions.k8s.io": definition(),
    "apiservices.apiregistration.k8s.io": {
        "spec": {
            "group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": True, "service": {"name": "s", "namespace": "default"},
        }
    },
    "controllerrevisions.apps": {"revision": 1, "data": {"a": 1}},
    "daemonsets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "deployments.apps": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
    "replicasets.apps": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
    "statefulsets.apps": {"spec": {"serviceName": "s", "selector": SELECTOR, "template": TEMPLATE}},
    "horizontalpodautoscalers.autoscaling": {"spec": {"maxReplicas": 3, "scaleTargetRef": TARGET}},
    "cronjobs.batch": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": JOB}}}},
    "jobs.batch": {"spec": {"template": JOB}},
    "certificatesigningrequests.certificates.k8s.io": signing_request(),
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 30}},
    "endpointslices.discovery.k8s.io": {
        "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.24"]}],
    },
    "events.events.k8s.io": {
        "eventTime": TIME, "reportingController": "c.example.com/x", "reportingInstance": "i", "action": "a",
        "reason": "r", "type": "Normal", "regarding": ABOUT, "note": "n",
    },
    "flowschemas.flowcontrol.apiserver.k8s.io": {
        "spec": {"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"}}
    },
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {
        "spec": {
            "type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}
        }
    },
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "example.com/c"}},
    "ingresses.networking.k8s.io": {
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    },
    "ipaddresses.networking.k8s.io": {
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": "default", "name": "s"}}
    },
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}}},
    "servicecidrs.networking.k8s.io": {"spec": {"cidrs": ["10.77.0.0/24"]}},
    "runtimeclasses.node.k8s.io": {"handler": "h"},
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": 1, "selector": SELECTOR}},
    "clusterrolebindings.rbac.authorization.k8s.io": {"roleRef": role("ClusterRole"), "subjects": SUBJECTS},
    "clusterroles.rbac.authorization.k8s.io": {"rules": RULES},
    "rolebindings.rbac.authorization.k8s.io": {"roleRef": role("Role"), "subjects": SUBJECTS},
    "roles.rbac.authorization.k8s.io": {"rules": RULES},
    "deviceclasses.resource.k8s.io": {"spec": {"selectors": [{"cel": {"expression": "true"}}]}},
    "resourceclaims.resource.k8s.io": {"spec": DEVICES},
    "resourceclaimtemplates.resource.k8s.io": {"spec": {"spec": DEVICES}},
    "resourceslices.resource.k8s.io": {
        "spec": {
            "driver": "d.example.com", "nodeName": "n",
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        }
    },
    "priorityclasses.scheduling.k8s.io": {"value": 7},
    "csidrivers.storage.k8s.io": {"spec": {}},
    "csinodes.storage.k8s.io": {"spec": {"drivers": []}},
    "csistoragecapacities.storage.k8s.io": {"storageClassName": "c", "nodeTopology": {}, "capacity": "1Gi"},
    "storageclasses.storage.k8s.io": {"provisioner": "example.com/p"},
    "volumeattachments.storage.k8s.io": {
        "spec": {"attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    },
    "volumeattributesclasses.storage.k8s.io": {"driverName": "d.example.com", "parameters": {"k": "v"}},
}  # fmt: skip

NAMES = {
    "customresourcedefinitions.apiextensions.k8s.io": "things.example.com",
    "apiservices.apiregistration.k8s.io": "v1.example.com",
    "ipaddresses.networking.k8s.io": "10.96.9.9",
    "deviceclasses.resource.k8s.io": "class.example.com",
    "csidrivers.storage.k8s.io": "driver.example.com",
}
"""Where a name is not free to choose; other objects are called `sample`."""


def sample(resource: str) -> Document:
    """The object, labelled so that it is found among those that a cluster has from its beginning."""
    meta = {"name": NAMES.get(resource, "sample"), "labels": {"sample": "yes"}}
    return {"metadata": meta, **SAMPLES[resource]}
