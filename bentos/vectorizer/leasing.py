"""Takes and releases the leases of photos, so that only one writer works on a photo at a time.

A lease expires, so that a crashed writer blocks others only for a limited time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from bentos.domain.errors import DependencyUnavailable, FaceSearchError, Overloaded
from bentos.stores.base import MetadataStore
from bentos.stores.records import Lease, LeaseLost, PhotoBusy, PhotoRecord

logger = logging.getLogger(__name__)

T = TypeVar("T")
_RETRY_S = 0.05


class PhotoLeases:
    """Takes the leases of photos for the requests of one process."""

    def __init__(self, metadata: MetadataStore, *, lease_s: float) -> None:
        self._metadata, self._lease_s = metadata, lease_s

    def lease(self) -> Lease:
        """A new lease, not granted yet."""
        return Lease(self._lease_s)

    def nothing_new(self, photo_id: str) -> Callable[[Lease], Awaitable[PhotoRecord]]:
        """For `held`: take the lease of a photo without adding faces to those to index. Raises `PhotoNotFound`."""

        async def begin(lease: Lease) -> PhotoRecord:
            return await self._metadata.begin_indexing(photo_id, face_ids=[], collection_id=None, lease=lease)

        return begin

    def deadline(self) -> float:
        """When to stop waiting, on the monotonic clock: after the lease of a writer that crashes now has expired."""
        return time.monotonic() + self._lease_s + 1

    @asynccontextmanager
    async def held(
        self, photo_id: str, begin: Callable[[Lease], Awaitable[T]]
    ) -> AsyncIterator[tuple[Lease, T]]:
        """Hold the photo's lease, which `begin` takes, until a store call inside the block finishes it.

        A failure or a cancellation releases the lease, except when a store did not respond: its write may still be
        carried out, so the lease is kept until it expires. The store calls inside the block have to end before a
        cancellation is raised (`bentos.vectorizer.uninterrupted`). Raises `Overloaded` when another writer holds the
        photo for too long, or took it over.
        """
        lease = self.lease()
        try:
            begun = await self._begun(lease, begin)
        except asyncio.CancelledError:  # the lease may have been granted before
            await self._give_back(photo_id, lease)
            raise
        try:
            yield lease, begun
        except DependencyUnavailable:
            raise
        except LeaseLost as error:
            raise busy() from error
        except BaseException:
            await self._give_back(photo_id, lease)
            raise

    async def _give_back(self, photo_id: str, lease: Lease) -> None:
        """Release the lease after an error. A failure to release is only logged, because the lease expires anyway."""
        try:
            await self._metadata.release(photo_id, lease=lease)
        except Exception as error:  # noqa: BLE001 - the first error is the one to raise
            reason = error.message if isinstance(error, FaceSearchError) else type(error).__name__
            logger.warning("the lease of photo %s was not released: %s", photo_id, reason)

    async def renewed(self, lease: Lease, begin: Callable[[Lease], Awaitable[T]]) -> T:
        """Renew the lease inside the block of `held`, after work that may have taken longer than the lease.

        The following write then ends while the lease is held, and nothing is written after another writer has taken
        the photo over. Raises what `begin` raises; `LeaseLost` when another writer has the photo.
        """
        try:
            return await begin(lease)
        except PhotoBusy as error:
            raise LeaseLost from error

    async def _begun(self, lease: Lease, begin: Callable[[Lease], Awaitable[T]]) -> T:
        deadline = self.deadline()
        while True:
            try:
                return await begin(lease)
            except PhotoBusy:
                if time.monotonic() > deadline:
                    raise busy() from None
                await pause()


async def pause() -> None:
    """Wait for a short random time, so that the waiting writers do not all retry at once."""
    await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def busy() -> Overloaded:
    """The error for a photo that another writer holds."""
    return Overloaded("Another request is changing this photo; try again shortly.")
