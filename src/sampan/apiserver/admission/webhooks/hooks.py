"""The webhooks of all configurations, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.api import selectors
from sampan.api.types import admissionregistration_v1 as v1
from sampan.api.types import meta_v1
from sampan.apiserver.contracts import View

Webhook = v1.MutatingWebhook | v1.ValidatingWebhook
Configuration = v1.MutatingWebhookConfiguration | v1.ValidatingWebhookConfiguration
EVERYTHING = selectors.Selector()


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook. `key` tells it from all others."""

    key: str
    webhook: Webhook
    namespaces: selectors.Selector
    objects: selectors.Selector

    @property
    def name(self) -> str:
        return self.webhook.name

    @property
    def may_fail(self) -> bool:
        """Whether the write passes when nobody answers."""
        return self.webhook.failurePolicy == "Ignore"

    @property
    def timeout(self) -> int:
        return self.webhook.timeoutSeconds or 10

    @property
    def again(self) -> bool:
        """Whether it wants to see what others change after it."""
        return getattr(self.webhook, "reinvocationPolicy", None) == "IfNeeded"


class Hooks:
    """`current` costs nothing while no configuration changes."""

    def __init__(self, view: View, type: type[Configuration]) -> None:
        self._view = view
        self._type = type
        self._generation = -1
        self._hooks: Sequence[Hook] = ()

    def current(self) -> Sequence[Hook]:
        generation = self._view.generation(self._type)
        if generation != self._generation:
            configurations = sorted(self._view.list(self._type), key=lambda each: each.metadata.name or "")
            self._hooks = tuple(hook for each in configurations for hook in _hooks_of(each))
            self._generation = generation
        return self._hooks


def _hooks_of(configuration: Configuration) -> Sequence[Hook]:
    name = configuration.metadata.name or ""
    webhooks: Sequence[Webhook] = configuration.webhooks
    return [
        Hook(
            f"{name}/{webhook.name}/{index}",
            webhook,
            _selector(webhook.namespaceSelector),
            _selector(webhook.objectSelector),
        )
        for index, webhook in enumerate(webhooks)
    ]


def _selector(wanted: meta_v1.LabelSelector | None) -> selectors.Selector:
    return EVERYTHING if wanted is None else selectors.label_selector(wanted)
