"""Reads the three stores into a `Snapshot`, batch by batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from tqdm import tqdm

from bentos.audit.snapshot import Snapshot
from bentos.composition import Dependencies
from bentos.stores.base import MetadataStore, VectorStore

T = TypeVar("T")

_PURGES_AT_ONCE = 500


async def read_stores(dependencies: Dependencies, snapshot: Snapshot) -> None:
    """Read all three stores into the snapshot, with a progress bar on a terminal. Raises `DependencyUnavailable`.

    Requests that the services handle meanwhile may look like differences, so a repair has to check each one again.
    """
    await read_faces(dependencies.vectors, dependencies.metadata, snapshot)
    # Images are read last: an image that is uploaded meanwhile then has no photo in the snapshot, which is harmless.
    await _read("images", dependencies.images.scan_images(), snapshot.add_images)
    for batch in snapshot.images_without_photo(_PURGES_AT_ONCE):
        snapshot.add_purged(await dependencies.metadata.purged(batch))


async def read_faces(vectors: VectorStore, metadata: MetadataStore, snapshot: Snapshot) -> None:
    """Read the vectors and the photos into the snapshot, without the images."""
    await _read("vectors", vectors.scan_faces(), snapshot.add_vectors)
    await _read("photos", metadata.scan_photos(), snapshot.add_photos)


async def _read(name: str, batches: AsyncIterator[list[T]], add: Callable[[Sequence[T]], None]) -> None:
    with tqdm(desc=f"reading {name}", unit="", disable=None, leave=False) as bar:
        async for batch in batches:
            add(batch)
            bar.update(len(batch))
