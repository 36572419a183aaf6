"""Host names, DNS settings, tokens, sub paths."""

from __future__ import annotations

from tests.e2e.cases.case import NODE, Case, says


def hosts() -> list[Case]:
    return [
        Case(
            "host-aliases",
            {
                "hostAliases": [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}],
                "containers": [says("grep 123.45 /etc/hosts")],
            },
            "123.45.67.89\tfoo\tbar\n",
            covers=[
                f"[sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts [Conformance] {NODE}"
            ],
        ),
        Case(
            "hostname",
            {
                "hostname": "named",
                "subdomain": "sub",
                "containers": [says("hostname; grep -c named.sub.cases.svc.cluster.local /etc/hosts")],
            },
            "named\n1\n",
        ),
        Case(
            "dns-config",
            {
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]},
                "containers": [says("cat /etc/resolv.conf")],
            },
            "search resolv.conf.local\nnameserver 1.1.1.1\n",
            covers=["[sig-network] DNS should support configurable pod DNS nameservers [Conformance]"],
        ),
        Case(
            "dns-cluster",
            {
                "containers": [
                    says(
                        "nslookup kubernetes.default.svc.cluster.local | grep -A1 Name: | grep -c Address; wget -q -O - http://kubernetes.default:443 2>&1 | head -c 5 >/dev/null; echo reached"
                    )
                ]
            },
            "1\nreached\n",
            covers=["[sig-network] DNS should provide DNS for the cluster [Conformance]"],
        ),
        Case(
            "token",
            {"containers": [says("cd /var/run/secrets/kubernetes.io/serviceaccount; ls; cat namespace")]},
            "ca.crt\nnamespace\ntoken\ncases",
        ),
        Case(
            "no-token",
            {
                "automountServiceAccountToken": False,
                "containers": [says("ls /var/run/secrets 2>/dev/null || echo none")],
            },
            "none\n",
        ),
        Case(
            "sub-path",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [
                    says(
                        "echo in > /sub/f; cat /all/cases/f",
                        env=[{"name": "S", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
                        volumeMounts=[
                            {"name": "v", "mountPath": "/all"},
                            {"name": "v", "mountPath": "/sub", "subPathExpr": "$(S)"},
                        ],
                        securityContext={"runAsUser": 0},
                    )
                ],
            },
            "in\n",
            covers=["[sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]"],
        ),
        Case(
            "sub-path-file",
            {
                "volumes": [{"name": "v", "configMap": {"name": "files"}}],
                "containers": [
                    says("cat /etc/one", volumeMounts=[{"name": "v", "mountPath": "/etc/one", "subPath": "one"}])
                ],
            },
            "1",
            covers=[
                "[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod [Conformance]"
            ],
        ),
        Case(
            "host-path",
            {
                "volumes": [{"name": "v", "hostPath": {"path": "/etc", "type": "Directory"}}],
                "containers": [
                    says(
                        "test -s /v/passwd && echo there",
                        volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}],
                    )
                ],
            },
            "there\n",
        ),
    ]
