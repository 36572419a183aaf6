"""All controllers of a cluster in one process: kube-controller-manager."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sampan.client.client import Client
from sampan.client.informer import Informers
from sampan.controllers import ALL, Declare
from sampan.controllers.settings import Settings
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.controller import Environment, Runner
from sampan.runtime.events import Recorder
from sampan.runtime.leader import Election, Elector
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group

LEASE = "kube-controller-manager"

COMPONENTS = {
    "node-lifecycle-controller": "node-controller",
    "node-ipam-controller": "cidrAllocator",
    "endpointslice-controller": "endpoint-slice-controller",
    "endpoints-controller": "endpoint-controller",
    "disruption-controller": "controllermanager",
    "persistentvolumeclaim-binder-controller": "persistentvolume-controller",
    "persistentvolume-binder-controller": "persistentvolume-controller",
    "ephemeral-volume-controller": "ephemeral_volume",
    "horizontal-pod-autoscaler-controller": "horizontal-pod-autoscaler",
    "local-volume-provisioner": "sampan.dev/local",
}
"""Controllers that sign their events with another name than their own, as upstream's do."""


class Manager:
    """`run` never returns. Informers are shared: give yours and they are yours to run, or they are made and run here.

    With `election` only the process that holds the Lease works; the others keep their caches warm.
    """

    def __init__(
        self,
        client: Client,
        *,
        controllers: Sequence[Declare] = ALL,
        settings: Settings | None = None,
        informers: Informers | None = None,
        election: Election | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.informers = informers or Informers(client)
        self.runners: tuple[Runner, ...] = ()
        self._client = client
        self._clock = clock or RealClock()
        self._own_informers = informers is None
        self._election = election
        self._recorders: dict[str, Recorder] = {}
        chosen = settings or Settings()
        self._declarations = tuple(declare(chosen) for declare in controllers)
        if election is None:
            # Made here and now so that whoever runs the informers finds everything asked for.
            self._prepare()

    async def run(self) -> None:
        async with Group("manager", clock=self._clock) as group:
            if self._own_informers:
                group.start("informers", self.informers.run())
            if self._election is None:
                await self._lead()
            else:
                elector = Elector(self._client, self._election, clock=self._clock)
                await elector.run(self._lead)

    def samples(self) -> Iterator[Sample]:
        for runner in self.runners:
            yield from runner.samples()
        for component, recorder in self._recorders.items():
            help = "Events that were given up or pushed out of the queue."
            yield Sample("sampan_events_dropped_total", "counter", help, {"component": component}, recorder.dropped)

    async def drained(self) -> None:
        """Wait until every event emitted so far has been written or given up."""
        for recorder in self._recorders.values():
            await recorder.drained()

    def _prepare(self) -> None:
        """Runners subscribe to the informers; what these hold already is looked at first."""
        runners = []
        for declaration in self._declarations:
            component = COMPONENTS.get(declaration.name, declaration.name)
            recorder = self._recorders.setdefault(component, Recorder(self._client, component, clock=self._clock))
            runners.append(declaration.runner(Environment(self._client, self.informers, recorder, self._clock)))
        self.runners = tuple(runners)

    async def _lead(self) -> None:
        if not self.runners:
            self._prepare()
        async with Group("controllers", clock=self._clock) as group:
            for component, recorder in self._recorders.items():
                group.supervise(f"events {component}", recorder.run)
            for runner in self.runners:
                group.supervise(runner.name, runner.run)
