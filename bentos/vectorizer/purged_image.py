"""Removes an image that was stored after its photo was purged: an upload may end after its lease has expired."""

from __future__ import annotations

from bentos.stores.base import ImageStore, MetadataStore
from bentos.stores.records import Lease
from bentos.vectorizer.leasing import PhotoLeases


async def remove_purged_image(
    photo_id: str, *, metadata: MetadataStore, images: ImageStore, leases: PhotoLeases
) -> None:
    """Delete the image of a photo that was purged; nothing is done when the photo is recorded or was never purged.

    A new upload of the photo waits meanwhile. Raises `DependencyUnavailable`; `Overloaded` when another writer keeps
    the photo for too long.
    """

    async def begin(lease: Lease) -> bool:
        return await metadata.begin_image_removal(photo_id, lease=lease)

    async with leases.held(photo_id, begin) as (lease, purged):
        if purged:
            await images.delete(photo_id)
            await metadata.finish_removals([photo_id], purge=True, lease=lease)
