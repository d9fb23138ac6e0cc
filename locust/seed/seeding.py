"""A worker process of the seeding: indexes its share of the photos with the code of the API, several at once."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.datastructures import State

from bentos.composition import Dependencies
from bentos.config.settings import Settings
from bentos.domain.errors import (
    CollectionMismatch,
    DependencyUnavailable,
    FaceSearchError,
    ImageTooLarge,
    InvalidImageFormat,
    NoFacesDetected,
    Overloaded,
)
from bentos.domain.ids import derive_photo_id, image_digest
from bentos.imaging.kinds import sniff_content_type
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import LocalFaceFinder, extraction_of
from bentos.stores.records import PhotoRecord
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.wiring import attach_indexing
from seed.seed_sources import Item

_AT_ONCE = 16
"""Photos in progress in one process: a write waits until Milvus can find it, which takes time but no CPU."""

_TRIES = 4
_RETRY_S = 1.0

Outcome = Literal["indexed", "already there", "no face", "unreadable", "failed"]


@dataclass(frozen=True, slots=True)
class Seeded:
    """The result of one photo; `faces`: indexed now or before. `reason` is empty unless it failed."""

    collection_id: str
    outcome: Outcome
    faces: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A worker process failed as a whole."""

    reason: str


def seed_share(items: Sequence[Item], settings: Settings, stop: Any, results: Any) -> None:
    """Index the items until `stop` (an event) is set; every outcome goes to `results` (a queue).

    The parent process handles Ctrl-C; photos in progress are finished.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        asyncio.run(_seed_all(items, settings, stop, results))
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent
        results.put(WorkerFailed(f"{type(error).__name__}: {error}"))


async def _seed_all(items: Sequence[Item], settings: Settings, stop: Any, results: Any) -> None:
    folder = face_pack_folder(settings.face_pack)
    finder = LocalFaceFinder(extraction_of(folder, settings))
    dependencies = Dependencies(settings, finder, PackInfo.read(folder))
    state = State()
    attach_indexing(state, dependencies)
    seeder = Seeder(dependencies, state.indexing)
    stores = (dependencies.metadata, dependencies.images, dependencies.vectors)
    try:
        for store in stores:
            await store.open()
        left = iter(items)
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(_lane(seeder, left, stop, results))
    finally:
        for store in stores:
            await store.close()


async def _lane(seeder: Seeder, left: Iterator[Item], stop: Any, results: Any) -> None:
    for item in left:
        if stop.is_set():
            return
        results.put(await seeder.seed(item))


class Seeder:
    """Indexes photos one by one, as `/detect_faces/` and `/add_face/` do."""

    def __init__(self, dependencies: Dependencies, indexing: Indexing) -> None:
        self._finder, self._metadata, self._indexing = dependencies.finder, dependencies.metadata, indexing

    async def seed(self, item: Item) -> Seeded:
        """Index the photo unless it is indexed. Waits a few seconds for a store that is unavailable."""
        for attempt in itertools.count(1):
            try:
                return await self._seed(item)
            except (DependencyUnavailable, Overloaded) as error:
                if attempt == _TRIES:
                    return Seeded(item.collection_id, "failed", reason=str(error))
                await asyncio.sleep(_RETRY_S * attempt)
            except NoFacesDetected:
                return Seeded(item.collection_id, "no face")
            except (InvalidImageFormat, ImageTooLarge) as error:
                return Seeded(item.collection_id, "unreadable", reason=str(error))
            except (CollectionMismatch, FaceSearchError, OSError) as error:
                return Seeded(item.collection_id, "failed", reason=str(error))
        raise AssertionError("unreachable")

    async def _seed(self, item: Item) -> Seeded:
        image: bytes | None = None
        photo_id = item.photo_id
        if photo_id is None:
            image = await asyncio.to_thread(item.read, 0)
            photo_id = derive_photo_id(image_digest(image or b""), item.collection_id)
        known = await self._metadata.photo(photo_id)
        if known is not None and _is_done(known):
            faces = len(known.faces)
            return Seeded(item.collection_id, "already there" if faces else "no face", faces)
        image = image or await self._with_a_face(item)
        photo = await self._indexing.detect_uploaded(
            image, sniff_content_type(image), photo_id=photo_id, collection_id=item.collection_id
        )
        for face in photo.faces:
            await self._indexing.index_face(face.face_id, collection_id=item.collection_id)
        return Seeded(item.collection_id, "indexed", len(photo.faces))

    async def _with_a_face(self, item: Item) -> bytes:
        """The first attempt in which a face is found, else the last attempt."""
        last = b""
        for attempt in itertools.count():
            image = await asyncio.to_thread(item.read, attempt)
            if image is None:
                break
            last = image
            if (await self._finder.detect(image)).faces:
                break
        return last


def _is_done(photo: PhotoRecord) -> bool:
    return photo.width is not None and all(face.state == "indexed" for face in photo.faces)
