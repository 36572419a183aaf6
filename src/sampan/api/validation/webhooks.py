"""Rules of webhook configurations. The texts are upstream's, but for conditions: nobody here evaluates CEL."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from sampan.api.types import admissionregistration_v1 as v1
from sampan.api.validation import checks

Errors = list[FieldError]
Webhook = v1.MutatingWebhook | v1.ValidatingWebhook
REVIEWS = ("v1", "v1beta1")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_FORM = "; desired format: https://host[:port]/path"
_CONDITIONS = (
    "this server evaluates no CEL expressions: leave the conditions out and select by namespaceSelector, "
    "objectSelector or rules"
)


def validate(configuration: v1.MutatingWebhookConfiguration | v1.ValidatingWebhookConfiguration) -> Errors:
    errors, seen = Errors(), set[str]()
    webhooks: Sequence[Webhook] = configuration.webhooks
    for index, webhook in enumerate(webhooks):
        path = f"webhooks[{index}]"
        _webhook(errors, webhook, path)
        _reviews(errors, webhook.admissionReviewVersions, f"{path}.admissionReviewVersions")
        if webhook.name and webhook.name in seen:
            errors.append(duplicate(f"{path}.name", webhook.name))
        seen.add(webhook.name)
    return errors


def _webhook(errors: Errors, webhook: Webhook, path: str) -> None:
    if not webhook.name:
        errors.append(required(f"{path}.name"))
    else:
        errors += [invalid(f"{path}.name", webhook.name, text) for text in names.fully_qualified(webhook.name)]
    for index, rule in enumerate(webhook.rules):
        _rule(errors, rule, f"{path}.rules[{index}]")
    choices = [("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))]
    if isinstance(webhook, v1.MutatingWebhook):
        choices.append(("reinvocationPolicy", ("IfNeeded", "Never")))
    for name, allowed in choices:
        value = getattr(webhook, name)
        if value is not None and value not in allowed:
            errors.append(not_supported(f"{path}.{name}", value, allowed))
    if not webhook.sideEffects:
        errors.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}"))
    elif webhook.sideEffects not in SIDE_EFFECTS:
        errors.append(not_supported(f"{path}.sideEffects", webhook.sideEffects, SIDE_EFFECTS))
    if webhook.timeoutSeconds is not None and not 1 <= webhook.timeoutSeconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", webhook.timeoutSeconds, text))
    checks.label_selector(errors, webhook.namespaceSelector, f"{path}.namespaceSelector")
    checks.label_selector(errors, webhook.objectSelector, f"{path}.objectSelector")
    if webhook.matchConditions:
        errors.append(forbidden(f"{path}.matchConditions", _CONDITIONS))
    _client(errors, webhook.clientConfig, f"{path}.clientConfig")


def _reviews(errors: Errors, versions: Sequence[str], path: str) -> None:
    if not versions:
        errors.append(required(path, f"must specify one of {', '.join(REVIEWS)}"))
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        errors += [invalid(f"{path}[{index}]", version, text) for text in names.dns1035_label(version)]
    if not set(REVIEWS) & set(versions):
        errors.append(invalid(path, list(versions), f"must include at least one of {', '.join(REVIEWS)}"))


def _rule(errors: Errors, rule: v1.RuleWithOperations, path: str) -> None:
    for name, value, what in (
        ("operations", rule.operations, "operations"),
        ("apiGroups", rule.apiGroups, "API groups"),
        ("apiVersions", rule.apiVersions, "API versions"),
    ):
        if not value:
            errors.append(required(f"{path}.{name}"))
        if len(value) > 1 and "*" in value:
            errors.append(invalid(f"{path}.{name}", list(value), f"if '*' is present, must not specify other {what}"))
    for index, operation in enumerate(rule.operations):
        if operation not in OPERATIONS:
            errors.append(not_supported(f"{path}.operations[{index}]", operation, OPERATIONS))
    for index, version in enumerate(rule.apiVersions):
        if not version:
            errors.append(required(f"{path}.apiVersions[{index}]"))
    _resources(errors, rule.resources, f"{path}.resources")
    if rule.scope is not None and rule.scope not in ("*", "Cluster", "Namespaced"):
        errors.append(not_supported(f"{path}.scope", rule.scope, ("*", "Cluster", "Namespaced")))


def _resources(errors: Errors, resources: Sequence[str], path: str) -> None:
    if not resources:
        errors.append(required(path))
    whole, everywhere = set[str](), set[str]()
    for index, each in enumerate(resources):
        if not each:
            errors.append(required(f"{path}[{index}]"))
        resource, slash, part = each.partition("/")
        if not slash:
            continue
        if resource in whole:
            text = f"if '{resource}/*' is present, must not specify {each}"
            errors.append(invalid(f"{path}[{index}]", each, text))
        if part in everywhere:
            errors.append(invalid(f"{path}[{index}]", each, f"if '*/{part}' is present, must not specify {each}"))
        if part == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(part)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid(path, list(resources), "if '*/*' is present, must not specify other resources"))
    if "*" in resources and any("/" not in each and each not in ("", "*") for each in resources):
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, list(resources), text))


def _client(errors: Errors, client: v1.WebhookClientConfig, path: str) -> None:
    if (client.url is None) == (client.service is None):
        errors.append(required(path, "exactly one of url or service is required"))
    elif client.url is not None:
        _url(errors, client.url, f"{path}.url")
    elif client.service is not None:
        _service(errors, client.service, f"{path}.service")


def _url(errors: Errors, url: str, path: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        errors.append(required(path, f"url must be a valid URL: {error}{_FORM}"))
        return
    if parts.scheme != "https":
        errors.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not parts.hostname:
        errors.append(invalid(path, parts.netloc, f"host must be specified{_FORM}"))
    if parts.username is not None:
        errors.append(invalid(path, parts.username, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))


def _service(errors: Errors, service: v1.ServiceReference, path: str) -> None:
    if not service.name:
        errors.append(required(f"{path}.name", "service name is required"))
    if not service.namespace:
        errors.append(required(f"{path}.namespace", "service namespace is required"))
    port = 443 if service.port is None else service.port
    if problems := names.port_number(port):
        errors.append(invalid(f"{path}.port", port, f"port is not valid: {'; '.join(problems)}"))
    if service.path is not None and not service.path.startswith("/"):
        errors.append(invalid(f"{path}.path", service.path, "must start with a '/'"))
