"""Works through the photos: passes over what is done, indexes the rest, several at once, and records each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from bentos.bulk.files import FileDigests, read_file
from bentos.bulk.items import UNREADABLE, Indexer, Item, Outcome, failed
from bentos.bulk.report import Report
from bentos.bulk.summary import Summary
from bentos.domain.errors import DependencyUnavailable, ImageTooLarge, InvalidImageFormat
from bentos.domain.ids import derive_photo_id, image_digest
from bentos.jobs.patience import ItemRefused, Patience, Stopped
from bentos.jobs.progress import Progress, shown


class BulkWork:
    """Indexes photos of one collection, `in_flight` at once.

    `digests`: of the files that earlier runs have read, None when the photos are in the object store.
    `again`: work on every photo, also on those that are done. `max_image_bytes`: larger files are not read.
    """

    def __init__(
        self,
        indexer: Indexer,
        *,
        collection_id: str | None,
        report: Report,
        patience: Patience,
        in_flight: int,
        max_image_bytes: int,
        digests: FileDigests | None = None,
        again: bool = False,
    ) -> None:
        self._indexer, self._collection_id = indexer, collection_id
        self._report, self._patience = report, patience
        self._in_flight, self._max_image_bytes = in_flight, max_image_bytes
        self._digests, self._again = digests, again
        self._recorded: dict[str, Outcome | None] = {}
        self._one_alone: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._fatal: Exception | None = None
        self.summary = Summary()

    async def run(self, items: Sequence[Item]) -> None:
        """Index the items. Raises `Stopped`, once the photos in progress are finished; what the indexer raises."""
        if not self._again:
            self._recorded = await self._patience.read(self._indexer.recorded)
        left = []
        for item in items:
            photo_id = item.photo_id or self._remembered_id(item)
            outcome = None if photo_id is None else self._recorded.get(photo_id)
            if outcome is None:
                left.append(item)
            else:
                self._record(item, outcome)
        async with shown("indexing", len(left)) as progress:
            await self._work_off(iter(left), progress)
        if self._fatal is not None:
            raise self._fatal
        if self._patience.stopped.is_set():
            raise Stopped

    async def _work_off(self, left: Iterator[Item], progress: Progress) -> None:
        async def worker() -> None:
            for item in left:
                if self._patience.stopped.is_set():
                    return
                try:
                    self._record(item, await self._outcome(item))
                except Stopped:
                    return
                except Exception as error:  # noqa: BLE001 - raised by `run`, after the other workers have finished
                    self._fatal = self._fatal or error
                    self._patience.stopped.set()
                    return
                progress.done += 1

        await asyncio.gather(*[worker() for _ in range(self._in_flight)])

    async def _outcome(self, item: Item) -> Outcome:
        if item.problem is not None:
            return failed(item, item.error, item.problem)
        if (outcome := await self._before(item.photo_id or self._remembered_id(item))) is not None:
            return outcome
        image = None
        if item.file is not None:
            try:
                image, photo_id = await asyncio.to_thread(self._read, item.file)
            except (ImageTooLarge, InvalidImageFormat) as error:
                return failed(item, error.code, error.message)
            except OSError as error:
                return failed(item, UNREADABLE, f"The file cannot be read: {error.strerror}.")
            # Of equal files, one is indexed; the others wait for it, and need no work then.
            async with self._one_alone.setdefault(photo_id, asyncio.Lock()):
                return await self._before(photo_id) or await self._indexed(item, image)
        return await self._indexed(item, image)

    async def _indexed(self, item: Item, image: bytes | None) -> Outcome:
        try:
            outcome = await self._patience.call_for_item(lambda: self._indexer.index(item, image))
        except ItemRefused as refused:
            return failed(item, DependencyUnavailable.code, str(refused))
        if outcome.photo_id is not None and outcome.status != "failed":
            self._recorded[outcome.photo_id] = replace(outcome, before=True)
        return outcome

    async def _before(self, photo_id: str | None) -> Outcome | None:
        """What an earlier run, or this one with an equal file, made of the photo; None when work is left."""
        if photo_id is None or photo_id not in self._recorded:
            return None
        known = self._recorded[photo_id]
        return known or await self._patience.call(lambda: self._indexer.look(photo_id))

    def _remembered_id(self, item: Item) -> str | None:
        if item.file is None or self._digests is None:
            return None
        digest = self._digests.known(item.file)
        return None if digest is None else derive_photo_id(digest, self._collection_id)

    def _read(self, file: Path) -> tuple[bytes, str]:
        image = read_file(file, self._max_image_bytes)
        digest = image_digest(image)
        if self._digests is not None:
            self._digests.remember(file, digest)
        return image, derive_photo_id(digest, self._collection_id)

    def _record(self, item: Item, outcome: Outcome) -> None:
        self._report.add(item, outcome)
        self.summary.add(outcome)
