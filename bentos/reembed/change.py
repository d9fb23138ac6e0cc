"""Changes a base to another face pack: passes until few photos differ, then the alias moves, then more passes."""

from __future__ import annotations

from dataclasses import dataclass, field

from bentos.jobs.patience import Patience, Say
from bentos.reembed.passes import Failure, Passes, PassResult
from bentos.stores.replacement import ReplacementVectorStore

_FEW = 50
"""Photos that changed during a pass: this number is processed in moments."""
_TOO_MANY_FROM = 10
"""From this number of failures on, a failed half means wrong settings."""
_PASSES_AFTERWARDS = 5


class WrongStores(Exception):
    """So many photos fail that the settings are probably wrong, rather than the base; the alias was not moved."""


@dataclass(slots=True)
class Report:
    """What all passes did; `failures`: the photos that the last pass could not process."""

    moved: bool = False
    passes: int = 0
    stored: int = 0
    removed: int = 0
    failures: list[Failure] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def add(self, result: PassResult) -> None:
        """Add the result of one pass."""
        self.passes += 1
        self.stored += result.stored
        self.removed += result.removed
        self.failures = result.failures + result.busy


class Change:
    """Brings the new pack's collection into line with the metadata, and makes it the one that services search."""

    def __init__(
        self, passes: Passes, vectors: ReplacementVectorStore, patience: Patience, say: Say, *, alias: str
    ) -> None:
        self._passes, self._vectors, self._patience, self._say = passes, vectors, patience, say
        self._alias = alias

    async def run(self) -> Report:
        """Run the change; a repeated run does the rest. Raises `Stopped`, `WrongStores`, `NotReady`, `PoolBroken`."""
        report = Report()
        if not await self._patience.call(self._vectors.serves):
            await self._fill(report)
            await self._patience.call(self._vectors.take_over)
            report.moved = True
            self._say(f"the alias {self._alias!r} moved: services of this face pack become ready now")
        for _ in range(_PASSES_AFTERWARDS):
            report.add(result := await self._passes.run("catching up"))
            if result.changed <= _FEW and not result.busy:
                break
        return report

    async def remove_old(self, report: Report) -> None:
        """Drop the collections of other packs."""
        report.dropped = await self._patience.call(self._vectors.remove_others)

    async def _fill(self, report: Report) -> None:
        """Run passes until one finds few changes, or no longer half as many as the pass before."""
        before: int | None = None
        while True:
            report.add(result := await self._passes.run("embedding"))
            await self._refuse_wrong_stores(result)
            if result.changed <= _FEW or (before is not None and result.changed > before / 2):
                return
            before = result.changed

    async def _refuse_wrong_stores(self, result: PassResult) -> None:
        failed = len(result.failures)
        if failed >= _TOO_MANY_FROM and 2 * failed >= result.photos:
            raise WrongStores(
                f"{failed} of {result.photos} photos could not be embedded ({result.failures[0].reason}): are "
                "S3_BUCKET and S3_PREFIX right? The alias was not moved."
            )
        if not result.photos and await self._patience.call(self._vectors.replaces_vectors):
            raise WrongStores(
                "There is not one photo in the metadata, but the base has vectors: are POSTGREST_URL and "
                "MILVUS_COLLECTION right? The alias was not moved."
            )
