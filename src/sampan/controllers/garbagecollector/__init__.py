"""The garbage collector: what has lost its last owner goes, and owners wait, or not, for what they own.

monitors.py  follows every resource that can be deleted, by metadata
graph.py     who owns whom (pure)
collect.py   what is to be done about one object
"""

from __future__ import annotations

from sampan.controllers.garbagecollector.monitors import Monitors
from sampan.controllers.settings import Settings
from sampan.runtime.controller import Declaration, Environment, Runner


class GarbageCollector:
    name = "garbage-collector-controller"

    def runner(self, environment: Environment) -> Runner:
        return Monitors(self.name, environment)


def declare(settings: Settings) -> Declaration:
    return GarbageCollector()
