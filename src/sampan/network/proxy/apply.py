"""Rulesets into the kernel: only what changed, in one transaction; everything again after a refusal."""

from __future__ import annotations

import logging

from sampan.host import nft
from sampan.network.proxy.render import Table
from sampan.network.proxy.ruleset import Ruleset

log = logging.getLogger(__name__)


class Applier:
    """Knows what the kernel has. `apply` raises NftFailure when even the whole table is refused."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.applied: Ruleset | None = None

    async def apply(self, ruleset: Ruleset) -> bool:
        """Whether anything had to change."""
        # Who is cancelled in the middle does not know what the kernel has.
        known, self.applied = self.applied, None
        if known is not None and await self._changed(known, ruleset):
            self.applied = ruleset
            return known != ruleset
        await nft.apply(self.table.whole(ruleset))
        self.applied = ruleset
        return True

    async def _changed(self, known: Ruleset, ruleset: Ruleset) -> bool:
        """Write what differs; False when the kernel refuses that."""
        script = self.table.difference(known, ruleset)
        if not script:
            return True
        try:
            await nft.apply(script)
        except nft.NftFailure as failure:
            log.warning("table %s: somebody else changed it, writing all: %s", self.table.name, failure)
            return False
        return True

    async def check(self) -> None:
        """Forget what we think is there when somebody has flushed it."""
        if self.applied is not None and self.table.name not in await nft.tables():
            log.warning("table %s was gone", self.table.name)
            self.applied = None

    async def remove(self) -> None:
        self.applied = None
        await nft.delete_table(self.table.name)
