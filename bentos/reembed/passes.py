"""One pass: compares the vectors of the new pack with the metadata, and corrects the differences."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bentos.audit.reading import read_faces
from bentos.audit.snapshot import Snapshot
from bentos.domain.errors import FaceSearchError, Overloaded, PhotoNotFound
from bentos.jobs.patience import ItemRefused, Patience, Stopped
from bentos.jobs.progress import Progress, shown
from bentos.stores.base import MetadataStore, VectorStore
from bentos.vectorizer.mirroring import Mirroring


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo with a face that could not be embedded."""

    photo_id: str
    reason: str


@dataclass(slots=True)
class PassResult:
    """What a pass found and did. `photos`: in the metadata; `differing`: those whose vectors differed.

    `busy`: photos that another writer held for too long; a further pass may process them. `stored` and `removed` count
    vectors.
    """

    photos: int
    differing: int
    stored: int = 0
    removed: int = 0
    busy: list[Failure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """The photos that differed, except failures: services keep changing photos during a pass."""
        return self.differing - len(self.failures)


class Passes:
    """Runs passes over one base, with `in_flight` photos in progress at once."""

    def __init__(
        self,
        *,
        mirroring: Mirroring,
        metadata: MetadataStore,
        vectors: VectorStore,
        patience: Patience,
        in_flight: int,
    ) -> None:
        self._mirroring, self._metadata, self._vectors = mirroring, metadata, vectors
        self._patience, self._in_flight = patience, in_flight

    @asynccontextmanager
    async def compared(self) -> AsyncIterator[Snapshot]:
        """Metadata and vectors side by side in a temporary file. Raises `Stopped`."""
        with tempfile.TemporaryDirectory(prefix="reembed-") as folder:

            async def read() -> Snapshot:
                path = Path(folder) / "snapshot.db"
                path.unlink(missing_ok=True)
                snapshot = Snapshot(path)
                try:
                    await read_faces(self._vectors, self._metadata, snapshot)
                except BaseException:
                    snapshot.__exit__(None, None, None)
                    raise
                return snapshot

            with await self._patience.read(read) as snapshot:
                yield snapshot

    async def run(self, title: str) -> PassResult:
        """Compare, and correct the differences. Raises `Stopped`, once the photos in progress are finished."""
        async with self.compared() as snapshot:
            result = PassResult(snapshot.photos, snapshot.count_out_of_line())
            async with shown(title, result.differing) as progress:
                await self._work_off(snapshot.out_of_line(), result, progress)
        if self._patience.stopped.is_set():
            raise Stopped
        return result

    async def _work_off(
        self, work: Iterator[tuple[str, list[str]]], result: PassResult, progress: Progress
    ) -> None:
        async def worker() -> None:
            for photo_id, face_ids in work:
                if self._patience.stopped.is_set():
                    return
                await self._mirror(photo_id, face_ids, result)
                progress.done += 1

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._in_flight):
                    group.create_task(worker())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _mirror(self, photo_id: str, face_ids: list[str], result: PassResult) -> None:
        try:
            mirrored = await self._patience.call_for_item(lambda: self._mirroring.mirror(photo_id, face_ids))
        except Stopped:
            return
        except Overloaded:
            result.busy.append(Failure(photo_id, "another writer kept it; run this again"))
            return
        except ItemRefused as refused:
            result.failures.append(Failure(photo_id, str(refused)))
            return
        except PhotoNotFound:
            result.failures.append(Failure(photo_id, "its image is missing"))
            return
        except FaceSearchError as error:
            result.failures.append(Failure(photo_id, error.message))
            return
        result.stored += mirrored.stored
        result.removed += mirrored.removed
        if mirrored.not_alignable:
            result.failures.append(Failure(photo_id, f"{mirrored.not_alignable} faces cannot be aligned"))
