"""Indexes photos in this process, with the logic of image-vectorizer and one process for each CPU that finds faces."""

from __future__ import annotations

from bentos.bulk.items import Item, Outcome, failed, outcome_before, outcome_of, outcome_of_row
from bentos.composition import Dependencies
from bentos.config.settings import Settings
from bentos.domain.errors import (
    DependencyUnavailable,
    FaceSearchError,
    NoFacesDetected,
    NotReady,
    Overloaded,
)
from bentos.imaging.kinds import sniff_content_type
from bentos.jobs.face_pool import FacePool
from bentos.jobs.patience import a_store
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.stores.records import PhotoPage, PhotoRecord
from bentos.vectorizer.whole_photo import faces_of
from bentos.vectorizer.wiring import indexing_of

_PAGE = 500


class LocalIndexer:
    """See `Indexer`."""

    def __init__(
        self,
        settings: Settings,
        pack: PackInfo,
        *,
        collection_id: str | None,
        processes: int,
    ) -> None:
        self._collection_id = collection_id
        self._pool = FacePool(face_pack_folder(settings.face_pack), settings, processes=processes)
        self._dependencies = Dependencies(settings, self._pool, pack)
        self._indexing, _ = indexing_of(self._dependencies)
        self._stores = (self._dependencies.metadata, self._dependencies.images, self._dependencies.vectors)

    async def open(self) -> None:
        """See `Indexer`. Also raises `PoolBroken`, `NotReady`."""
        for store in self._stores:
            await store.open()
        await self._pool.check()

    async def close(self) -> None:
        """See `Indexer`."""
        await self._pool.close()
        for store in self._stores:
            await store.close()

    def waits_for(self, error: Exception) -> str | None:
        """See `Indexer`."""
        return "the other writer" if isinstance(error, Overloaded) else a_store(error)

    async def recorded(self) -> dict[str, Outcome | None]:
        """See `Indexer`. A photo that is removed meanwhile may be missing: it is indexed again, which is harmless."""
        found: dict[str, Outcome | None] = {}
        page = await self._listed(0)
        while page.items:
            found |= {row.photo_id: outcome_of_row(row) for row in page.items}
            page = await self._listed(len(found))
        return found

    async def look(self, photo_id: str) -> Outcome | None:
        """See `Indexer`."""
        photo = await self._dependencies.metadata.photo(photo_id)
        if photo is None or photo.width is None:
            return None
        return outcome_before(photo_id, faces_of(photo, min_size=self._indexing.index_min_size))

    async def index(self, item: Item, image: bytes | None) -> Outcome:
        """See `Indexer`. Also raises `PoolBroken`, `NotReady`."""
        try:
            photo = await self._indexed(item, image)
        except (DependencyUnavailable, Overloaded, NotReady):
            raise
        except NoFacesDetected as error:
            return Outcome("no_faces", str(error.details.get("photo_id", item.photo_id)))
        except FaceSearchError as error:
            return failed(item, error.code, error.message, error.details)
        faces = faces_of(photo, min_size=self._indexing.index_min_size)
        return outcome_of(photo.photo_id, faces, above_the_limit=photo.faces_left_out)

    async def _indexed(self, item: Item, image: bytes | None) -> PhotoRecord:
        if image is None:
            return await self._indexing.index_stored(item.photo_id or "", collection_id=self._collection_id)
        return await self._indexing.index_uploaded(
            image, sniff_content_type(image), photo_id=item.photo_id, collection_id=self._collection_id
        )

    async def _listed(self, offset: int) -> PhotoPage:
        return await self._dependencies.metadata.list_photos(
            collection_id=self._collection_id, limit=_PAGE, offset=offset
        )
