"""The cluster as the scheduler sees it: one row per node, one column per fact, changed by every event.

Pods that were just assigned but not yet seen so (assumed) are in it like all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sampan.api.types import core_v1
from sampan.scheduler import requests
from sampan.scheduler.arrays import Bools, Ints, np
from sampan.scheduler.columns import Labels
from sampan.scheduler.groups import Groups
from sampan.scheduler.profile import Profile
from sampan.scheduler.tallies import Selection, Tallies, grown
from sampan.scheduler.terms import NamespaceLabels
from sampan.scheduler.volumes import Volumes

RESOURCES = (requests.CPU, requests.MEMORY, requests.STORAGE, requests.PODS)
CPU, MEMORY, STORAGE, PODS = range(4)
"""Rows of the resource arrays that every cluster has; others follow as nodes and pods name them."""

LOG = 4096
"""Changes that are remembered; who has fallen further behind computes everything again."""

Taints = tuple[tuple[str, str, str], ...]


class Placed(NamedTuple):
    """A pod on a node, or on its way there. `row` is -1 while the node is not known."""

    pod: core_v1.Pod
    profile: Profile
    node: str
    row: int
    ending: bool


class Image(NamedTuple):
    size: int
    rows: set[int]


class Snapshot:
    """Arrays are longer than there are nodes: `present` tells which rows are in use, `size` how far they go."""

    def __init__(
        self,
        namespace_labels: NamespaceLabels = lambda name: {},
        volumes: Volumes | None = None,
        groups: Groups | None = None,
    ) -> None:
        self.volumes = volumes or Volumes()
        self.groups = groups or Groups()
        self.size = 0
        self.capacity = 0
        self.version = 0
        """Grows when nodes come, go, or change in anything but what pods take of them."""
        self.changes: list[int] = []
        self.forgotten = 0
        """`changes[i]` is the row of change number `forgotten + i`."""
        self.rows: dict[str, int] = {}
        self.nodes: list[core_v1.Node | None] = []
        self.resources: dict[str, int] = {name: at for at, name in enumerate(RESOURCES)}
        self.allocatable: Ints = np.zeros((len(RESOURCES), 0), np.int64)
        self.requested: Ints = np.zeros((len(RESOURCES), 0), np.int64)
        self.guessed: Ints = np.zeros((2, 0), np.int64)
        """cpu and memory with something assumed for containers that ask for nothing."""
        self.present: Bools = np.zeros(0, np.bool_)
        self.taints: Ints = np.zeros(0, np.int64)
        """Numbers of the distinct taint lists in `taint_lists`."""
        self.taint_lists: list[Taints] = [()]
        self.unschedulable: Bools = np.zeros(0, np.bool_)
        self.labels = Labels()
        self.images: dict[str, Image] = {}
        self.ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        """(protocol, port) -> row -> address -> how many pods hold it."""
        self.pods: dict[str, Placed] = {}
        """By uid."""
        self.on: dict[int, dict[str, Placed]] = {}
        """By row and uid."""
        self.tallies = Tallies(namespace_labels)
        self.namespace_labels = namespace_labels
        self._priorities: Counter[int] = Counter()
        self._elsewhere: dict[str, set[str]] = {}
        self._free: list[int] = []
        self._taint_numbers: dict[Taints, int] = {(): 0}

    # --- nodes ---

    @property
    def count(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        node = self.nodes[row]
        assert node is not None
        return node.metadata.name or ""

    def put_node(self, node: core_v1.Node) -> None:
        name = node.metadata.name or ""
        row = self.rows.get(name)
        old = None if row is None else self.nodes[row]
        if row is None:
            row = self._add_row(name)
        self.nodes[row] = node
        if old is not None and not _differs(old, node):
            return
        self.version += 1
        self._put_allocatable(row, node)
        self.labels.put(row, node.metadata.labels)
        self.unschedulable[row] = bool(node.spec.unschedulable)
        self.taints[row] = self._taint_number(node)
        self._put_images(row, old, node)
        if old is None:
            self.present[row] = True
            for uid in self._elsewhere.pop(name, ()):
                placed = self.pods[uid]
                self._place(placed._replace(row=row))

    def remove_node(self, name: str) -> None:
        row = self.rows.pop(name, None)
        if row is None:
            return
        for placed in list(self.on.pop(row, {}).values()):
            self._account(placed, -1)
            self.pods[placed.pod.metadata.uid or ""] = placed._replace(row=-1)
            self._elsewhere.setdefault(name, set()).add(placed.pod.metadata.uid or "")
        self._put_images(row, self.nodes[row], None)
        self.nodes[row] = None
        self.present[row] = False
        self.allocatable[:, row] = 0
        self.taints[row] = 0
        self.labels.remove(row)
        self._free.append(row)
        self.version += 1

    def _add_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
        else:
            row = self.size
            self.size += 1
            self.nodes.append(None)
            if self.size > self.capacity:
                self._resize(max(16, self.capacity * 2))
        self.rows[name] = row
        return row

    def _resize(self, size: int) -> None:
        self.capacity = size
        self.allocatable = grown(self.allocatable, size)
        self.requested = grown(self.requested, size)
        self.guessed = grown(self.guessed, size)
        self.present = grown(self.present, size)  # type: ignore[arg-type, assignment]
        self.unschedulable = grown(self.unschedulable, size)  # type: ignore[arg-type, assignment]
        self.taints = grown(self.taints, size)
        self.labels.resize(size)
        self.tallies.resize(size)

    def resource(self, name: str) -> int:
        """The row of a resource in the resource arrays; a new one for a name that is new."""
        index = self.resources.setdefault(name, len(self.resources))
        if index == len(self.allocatable):
            more = np.zeros((1, self.capacity), np.int64)
            self.allocatable = np.concatenate((self.allocatable, more))
            self.requested = np.concatenate((self.requested, more))
        return index

    def _put_allocatable(self, row: int, node: core_v1.Node) -> None:
        amounts = {self.resource(r): a for r, a in requests.amounts(node.status.allocatable).items()}
        self.allocatable[:, row] = 0
        for index, amount in amounts.items():
            self.allocatable[index, row] = amount

    def _taint_number(self, node: core_v1.Node) -> int:
        taints = tuple((t.key, t.value or "", t.effect) for t in node.spec.taints)
        number = self._taint_numbers.setdefault(taints, len(self.taint_lists))
        if number == len(self.taint_lists):
            self.taint_lists.append(taints)
        return number

    def _put_images(self, row: int, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        before = old.status.images if old is not None else ()
        after = new.status.images if new is not None else ()
        if before == after:
            return
        for name in (name for image in before for name in image.names):
            known = self.images.get(name)
            if known is not None:
                known.rows.discard(row)
                if not known.rows:
                    del self.images[name]
        for image in after:
            for name in image.names:
                known = self.images.setdefault(name, Image(image.sizeBytes or 0, set()))
                known.rows.add(row)

    @property
    def lowest_priority(self) -> int:
        """Of all pods on nodes."""
        return min(self._priorities, default=2**31)

    # --- pods ---

    def put_pod(self, pod: core_v1.Pod, profile: Profile, node: str) -> None:
        """The pod is on a node, or assumed to be; what was known of it before no longer counts."""
        uid = pod.metadata.uid or ""
        placed = Placed(pod, profile, node, self.rows.get(node, -1), pod.metadata.deletionTimestamp is not None)
        old = self.pods.get(uid)
        if old is not None and old[1:] == placed[1:]:
            self.pods[uid] = placed
            if placed.row >= 0:
                self.on[placed.row][uid] = placed
            return
        if old is not None:
            self.remove_pod(uid)
        self._place(placed)

    def remove_pod(self, uid: str) -> Placed | None:
        placed = self.pods.pop(uid, None)
        if placed is None:
            return None
        if placed.row < 0:
            waiting = self._elsewhere[placed.node]
            waiting.discard(uid)
            if not waiting:
                del self._elsewhere[placed.node]
        else:
            del self.on[placed.row][uid]
            self._account(placed, -1)
        return placed

    def _place(self, placed: Placed) -> None:
        uid = placed.pod.metadata.uid or ""
        self.pods[uid] = placed
        if placed.row < 0:
            self._elsewhere.setdefault(placed.node, set()).add(uid)
        else:
            self.on.setdefault(placed.row, {})[uid] = placed
            self._account(placed, 1)

    def _account(self, placed: Placed, step: int) -> None:
        row, profile = placed.row, placed.profile
        demand = profile.demand
        for resource, amount in demand.exact.items():
            index = self.resource(resource)
            self.requested[index, row] += step * amount
        self.requested[PODS, row] += step
        self.guessed[0, row] += step * demand.cpu
        self.guessed[1, row] += step * demand.memory
        for port in profile.ports:
            self._count_port(port, row, step)
        self.tallies.count(profile, row, placed.ending, step)
        priority = placed.pod.spec.priority or 0
        self._priorities[priority] += step
        if not self._priorities[priority]:
            del self._priorities[priority]
        self.changes.append(row)
        if len(self.changes) > 2 * LOG:
            self.forgotten += LOG
            del self.changes[:LOG]

    def _count_port(self, port: requests.Port, row: int, step: int) -> None:
        key = (port.protocol, port.port)
        holders = self.ports.setdefault(key, {}).setdefault(row, {})
        holders[port.address] = holders.get(port.address, 0) + step
        if not holders[port.address]:
            del holders[port.address]
            if not holders:
                del self.ports[key][row]
                if not self.ports[key]:
                    del self.ports[key]

    @property
    def position(self) -> int:
        """The number of the next change."""
        return self.forgotten + len(self.changes)

    def since(self, position: int) -> list[int] | None:
        """Rows that pods have changed since; None when that is too long ago."""
        if position < self.forgotten:
            return None
        changed = self.changes[position - self.forgotten :]
        return list(set(changed)) if len(changed) > 1 else changed

    def selected(self, selection: Selection) -> Ints:
        """How many selected pods each row has."""
        return self.tallies.selected(selection, self.placed)[: self.size]

    @property
    def placed(self) -> Iterator[tuple[Profile, int, bool]]:
        return ((p.profile, p.row, p.ending) for p in self.pods.values() if p.row >= 0)

    def domains(self, key: str) -> tuple[Ints, int]:
        """The number of each row's domain by a node label, -1 for nodes without it; and how many domains there are."""
        column = self.labels.column(key)
        return column.ids[: self.size], len(column.values)


def _differs(old: core_v1.Node, new: core_v1.Node) -> bool:
    """Whether anything that the scheduler looks at is different; heartbeats are not."""
    return (
        old.metadata.labels != new.metadata.labels
        or old.spec.taints != new.spec.taints
        or old.spec.unschedulable != new.spec.unschedulable
        or old.status.allocatable != new.status.allocatable
        or old.status.images != new.status.images
    )


def domain_totals(domains: Ints, counts: Ints, number: int) -> Ints:
    """`counts` summed over each of `number` domains, and a 0 at the end.

    That makes `totals[domains]` each row's total: rows without a domain (-1) find the 0.
    """
    known = domains >= 0
    if not known.all():
        domains, counts = domains[known], counts[known]
    return np.bincount(domains, weights=counts, minlength=number + 1).astype(np.int64)
