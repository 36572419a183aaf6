"""Who started a pipeline: the git server tells of pushers and forges, everybody else has done it themselves."""

from __future__ import annotations

from collections.abc import Awaitable

from sampan.api.kinds.sampan import PIPELINE_RUN
from sampan.apiserver.admission.base import Plugin, is_plain
from sampan.apiserver.contracts import Admission

TRUSTED = "system:sampan:git"
MASTERS = "system:masters"


class RunTrigger(Plugin):
    """Sets spec.trigger.by of who has no right to speak for others."""

    name = "RunTrigger"
    handles = (PIPELINE_RUN.resource,)

    def admit(self, admission: Admission) -> Awaitable[None] | None:
        user = admission.attributes.user
        if admission.operation != "CREATE" or not is_plain(admission):
            return None
        if user.name == TRUSTED or MASTERS in user.groups:
            return None
        assert admission.document is not None
        spec = admission.document.get("spec")
        trigger = spec.setdefault("trigger", {}) if isinstance(spec, dict) else None
        if isinstance(trigger, dict):
            trigger["by"] = user.name
        return None
