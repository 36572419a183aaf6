"""Pods that run once and say what they found; `test_pods.py` starts them together and reads each one's log."""

from tests.e2e.cases import commands, downward, empty, environment, lifecycle, names, security, sources, volumes
from tests.e2e.cases.case import Case

GROUPS = (
    commands.commands,
    environment.environment,
    volumes.config_volumes,
    downward.downward_volumes,
    empty.empty_dirs,
    security.security,
    lifecycle.lifecycles,
    names.hosts,
    sources.sources,
)
CASES: tuple[Case, ...] = tuple(case for group in GROUPS for case in group())

__all__ = ["CASES", "Case"]
