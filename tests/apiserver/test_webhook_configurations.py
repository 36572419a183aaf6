"""Configurations of webhooks: kept, listed, changed, refused, and out of reach of webhooks."""

from __future__ import annotations

import pytest

from tests.apiserver.conftest import CONFIGS, Api, config
from tests.apiserver.hooks import (
    CONFORMANCE,
    DENIED,
    GROUP,
    MUTATING,
    VALIDATING,
    Document,
    Hooks,
    add,
    mutating,
    patch,
    rule,
    validating,
)
from tests.apiserver.samples import sample
from tests.covers import covers


@covers(
    f"{CONFORMANCE} should not be able to mutate or prevent deletion of webhook configuration objects [Conformance]"
)
async def test_webhooks_have_no_power_over_webhooks(api: Api, hooks: Hooks) -> None:
    hooks.judges["/label"] = patch(add("/metadata/labels", {"changed": "1"}))
    all_of_it = rule("*", "*", "*", "*")
    await validating(api, hooks.webhook("/deny", all_of_it), name="a")
    await mutating(api, hooks.webhook("/label", all_of_it), name="b")
    made = await validating(api, hooks.webhook("/allow"), name="c")
    assert made.status == 201 and "labels" not in made["metadata"]
    for target in (f"{VALIDATING}/a", f"{MUTATING}/b", f"{VALIDATING}/c"):
        assert (await api.delete(target)).status == 200
    assert hooks.asked == []


@covers(
    f"{CONFORMANCE} listing mutating webhooks should work [Conformance]",
    f"{CONFORMANCE} listing validating webhooks should work [Conformance]",
)
async def test_listed_and_deleted_together(api: Api, hooks: Hooks) -> None:
    hooks.judges["/one"] = patch(add("/data/one", "1"))
    for number in range(3):
        labels = {"metadata": {"name": f"m-{number}", "labels": {"set": "one"}}}
        await api.post(MUTATING, labels | {"webhooks": [hooks.webhook("/one")]})
        await api.post(VALIDATING, labels | {"webhooks": [hooks.webhook("/deny", rule("secrets"))]})
    for target in (MUTATING, VALIDATING):
        found = (await api.get(f"{target}?labelSelector=set=one"))["items"]
        assert [each["metadata"]["name"] for each in found] == ["m-0", "m-1", "m-2"]
    assert (await api.post(CONFIGS, config("c", a="1")))["data"] == {"a": "1", "one": "1"}
    secrets = CONFIGS.replace("configmaps", "secrets")
    assert (await api.post(secrets, {"metadata": {"name": "s"}})).message == DENIED
    for target in (MUTATING, VALIDATING):
        assert (await api.delete(f"{target}?labelSelector=set=one")).status == 200
    assert (await api.post(CONFIGS, config("d", a="1")))["data"] == {"a": "1"}
    assert (await api.post(secrets, {"metadata": {"name": "s"}})).status == 201


@covers(
    f"{CONFORMANCE} patching/updating a mutating webhook should work [Conformance]",
    f"{CONFORMANCE} patching/updating a validating webhook should work [Conformance]",
)
async def test_changes_of_a_configuration_take_effect(api: Api, hooks: Hooks) -> None:
    hooks.judges["/one"] = patch(add("/data/one", "1"))
    made = (await mutating(api, hooks.webhook("/one", rule("configmaps", "CREATE")))).json
    judge = (await validating(api, hooks.webhook("/deny", rule("configmaps", "CREATE")))).json
    judge["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    assert (await api.put(f"{VALIDATING}/v", judge))["metadata"]["generation"] == 2
    assert (await api.post(CONFIGS, config("a", a="1")))["data"] == {"a": "1", "one": "1"}
    made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    await api.put(f"{MUTATING}/m", made)
    assert (await api.post(CONFIGS, config("b", a="1")))["data"] == {"a": "1"}
    operations = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    for target in (f"{MUTATING}/m", f"{VALIDATING}/v"):
        assert (await api.patch(target, operations, "json")).status == 200
    assert (await api.post(CONFIGS, config("c", a="1"))).message == DENIED
    assert hooks.asked[-1]["object"]["data"] == {"a": "1", "one": "1"}, "what is changed is judged afterwards"


@covers(f"{CONFORMANCE} should include webhook resources in discovery documents [Conformance]")
async def test_discovery_names_the_configurations(api: Api) -> None:
    groups = (await api.get("/apis"))["groups"]
    (group,) = [each for each in groups if each["name"] == "admissionregistration.k8s.io"]
    assert {"groupVersion": "admissionregistration.k8s.io/v1", "version": "v1"} in group["versions"]
    assert (await api.get("/apis/admissionregistration.k8s.io"))["versions"] == group["versions"]
    names = {each["name"]: each["kind"] for each in (await api.get(GROUP))["resources"]}
    assert names["mutatingwebhookconfigurations"] == "MutatingWebhookConfiguration"
    assert names["validatingwebhookconfigurations"] == "ValidatingWebhookConfiguration"


async def test_defaults_of_a_configuration(api: Api, hooks: Hooks) -> None:
    (made,) = (await mutating(api, hooks.webhook("/allow")))["webhooks"]
    shown = {name: made[name] for name in ("failurePolicy", "matchPolicy", "reinvocationPolicy", "timeoutSeconds")}
    assert shown == {
        "failurePolicy": "Fail", "matchPolicy": "Equivalent", "reinvocationPolicy": "Never", "timeoutSeconds": 10,
    }  # fmt: skip
    assert made["namespaceSelector"] == made["objectSelector"] == {} and made["rules"][0]["scope"] == "*"


SERVICE = {"name": "hooks", "namespace": "default"}
NAMELESS = {"service": {"name": "", "namespace": "d"}}
NOWHERE = {"service": {"name": "a", "namespace": ""}}


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"name": "short"}, "name", "should be a domain with at least three segments separated by dots"),
        ({"name": ""}, "name", "Required value"),
        ({"sideEffects": "Some"}, "sideEffects", 'supported values: "None", "NoneOnDryRun"'),
        ({"sideEffects": ""}, "sideEffects", "must specify one of None, NoneOnDryRun"),
        ({"admissionReviewVersions": []}, "admissionReviewVersions", "must specify one of v1, v1beta1"),
        ({"admissionReviewVersions": ["v2"]}, "admissionReviewVersions", "must include at least one of v1, v1beta1"),
        ({"admissionReviewVersions": ["v1", "v1"]}, "admissionReviewVersions[1]", "duplicate version"),
        ({"timeoutSeconds": 31}, "timeoutSeconds", "the timeout value must be between 1 and 30 seconds"),
        ({"failurePolicy": "Maybe"}, "failurePolicy", 'supported values: "Fail", "Ignore"'),
        ({"matchPolicy": "Maybe"}, "matchPolicy", 'supported values: "Equivalent", "Exact"'),
        ({"reinvocationPolicy": "Maybe"}, "reinvocationPolicy", 'supported values: "IfNeeded", "Never"'),
        ({"objectSelector": {"matchLabels": {"": "x"}}}, "objectSelector.matchLabels", "name part must be non-empty"),
        ({"clientConfig": {}}, "clientConfig", "exactly one of url or service is required"),
        ({"clientConfig": {"url": "https://a/", "service": SERVICE}}, "clientConfig", "exactly one of url or service"),
        ({"clientConfig": {"url": "http://a/"}}, "clientConfig.url", "'https' is the only allowed URL scheme"),
        ({"clientConfig": {"url": "https://"}}, "clientConfig.url", "host must be specified"),
        ({"clientConfig": {"url": "https://u@a/"}}, "clientConfig.url", "user information is not permitted in the URL"),
        ({"clientConfig": {"url": "https://a/?b"}}, "clientConfig.url", "query parameters are not permitted"),
        ({"clientConfig": {"url": "https://a/#b"}}, "clientConfig.url", "fragments are not permitted in the URL"),
        ({"clientConfig": {"url": "https://[a"}}, "clientConfig.url", "url must be a valid URL"),
        ({"clientConfig": NAMELESS}, "clientConfig.service.name", "is required"),
        (
            {"clientConfig": NOWHERE},
            "clientConfig.service.namespace",
            "is required",
        ),
        ({"clientConfig": {"service": SERVICE | {"port": 0}}}, "clientConfig.service.port", "port is not valid"),
        ({"clientConfig": {"service": SERVICE | {"path": "x"}}}, "clientConfig.service.path", "must start with a '/'"),
        ({"rules": [rule("pods", "EAT")]}, "rules[0].operations[0]", 'Unsupported value: "EAT"'),
        ({"rules": [rule("pods", "* CREATE")]}, "rules[0].operations", "must not specify other operations"),
        ({"rules": [rule("", "CREATE")]}, "rules[0].resources", "Required value"),
        ({"rules": [rule("*/* pods")]}, "rules[0].resources", "must not specify other resources"),
        ({"rules": [rule("pods/* pods/status")]}, "rules[0].resources[1]", "if 'pods/*' is present"),
        ({"rules": [rule("*/status pods/status")]}, "rules[0].resources[1]", "if '*/status' is present"),
        ({"rules": [rule("* pods")]}, "rules[0].resources", "other resources without subresources"),
        ({"rules": [rule("pods", scope="Some")]}, "rules[0].scope", "Unsupported value"),
        ({"rules": [rule("pods", version="")]}, "rules[0].apiVersions[0]", "Required value"),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}]},
            "matchConditions",
            "Forbidden: this server evaluates no CEL expressions",
        ),
    ],
)
async def test_configurations_that_are_refused(api: Api, hooks: Hooks, change: Document, field: str, says: str) -> None:
    answer = await mutating(api, hooks.webhook("/allow") | change)
    assert answer.status == 422
    found = [cause for cause in answer["details"]["causes"] if cause["field"].startswith(f"webhooks[0].{field}")]
    assert any(says in cause["message"] for cause in found), answer.message


async def test_names_are_unique(api: Api, hooks: Hooks) -> None:
    answer = await validating(api, hooks.webhook("/allow"), hooks.webhook("/allow"))
    assert 'webhooks[1].name: Duplicate value: "allow.hooks.example.com"' in answer.message


@pytest.mark.parametrize("resource", ["validatingadmissionpolicies", "mutatingadmissionpolicies"])
async def test_policies_say_that_they_have_no_effect(api: Api, resource: str) -> None:
    made = await api.post(f"{GROUP}/{resource}", sample(f"{resource}.admissionregistration.k8s.io"))
    assert made.status == 201
    assert made.headers["warning"] == '299 - "this server evaluates no CEL: the policy is kept and has no effect"'
