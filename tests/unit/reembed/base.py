"""Embedded stores that change from one pack to another, with embeddings that need no model."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from bentos.config.settings import Settings
from bentos.demo.embedded import embedded_environment
from bentos.domain.errors import InvalidImageFormat
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage, Landmarks
from bentos.domain.ids import image_digest
from bentos.jobs.patience import Patience
from bentos.pipeline.pack_info import PackFile, PackInfo
from bentos.reembed.change import Change
from bentos.reembed.passes import Passes
from bentos.stores.base import VectorStore
from bentos.stores.factory import image_store, metadata_store, replacement_vector_store, vector_store
from bentos.stores.records import Match
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.mirroring import Mirroring
from bentos.vectorizer.removal import Removal
from bentos.vectorizer.vector_writer import VectorWriter

KEY = "0123456789abcdef-key-of-the-tests"
DAMAGED = b"damaged"
SHORT_TIMEOUTS = {f"{name}_TIMEOUT_S": "2" for name in ("MILVUS", "POSTGREST", "S3")}


class OneFace:
    """A `FaceFinder` of one pack: one face in any bytes, whose embedding depends on the bytes and on the pack."""

    def __init__(self, pack: PackInfo) -> None:
        self._pack = pack
        self.embedded = 0

    async def detect(self, _image: bytes) -> FacesInImage:
        marks: Landmarks = tuple((10.0 + n, 10.0 + n * n) for n in range(5))
        return FacesInImage(100, 50, (Face(BoundingBox(10, 10, 40, 40), 0.9, marks),))

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        if image.startswith(DAMAGED):
            raise InvalidImageFormat("This is no image.")
        self.embedded += len(landmarks)
        return [self.embedding(image) for _ in landmarks]

    def embedding(self, image: bytes) -> Embedding:
        seed = int(image_digest(image)[:8], 16) + int(self._pack.fingerprint[:8], 16)
        vector = np.random.default_rng(seed).normal(size=512).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def pack_named(name: str) -> PackInfo:
    file = PackFile("made", "0" * 64, "0" * 64)
    fingerprint = image_digest(name.encode())[:16]
    known = {field.name for field in dataclasses.fields(PackInfo)}
    facts = {
        **dict.fromkeys(known, file),
        "name": name,
        "dimension": 512,
        "licence": "none",
        "commercial_use": True,
        "fingerprint": fingerprint,
    }
    return PackInfo(**facts)


class Service:
    """Both services of one version, on the shared stores."""

    def __init__(self, base: Base, pack: PackInfo) -> None:
        self.base, self.finder = base, OneFace(pack)
        self.vectors: VectorStore = vector_store(base.settings, pack)
        self.indexing = Indexing(
            finder=self.finder,
            metadata=base.metadata,
            vectors=self.vectors,
            images=base.images,
            max_image_bytes=1_000_000,
            leases=base.leases,
            index_min_size=0,
        )
        self.removal = Removal(
            metadata=base.metadata, vectors=self.vectors, images=base.images, leases=base.leases
        )

    async def add(
        self, photo_id: str, *, collection_id: str | None = None, image: bytes | None = None
    ) -> str:
        """Detect and index the one face of a photo; returns its id."""
        content = image or photo_id.encode()
        photo = await self.indexing.detect_uploaded(
            content, "image/jpeg", photo_id=photo_id, collection_id=collection_id
        )
        (face,) = photo.faces
        await self.indexing.index_face(face.face_id, collection_id=collection_id)
        return face.face_id

    async def search(self, photo_id: str, *, collections: Sequence[str] = ()) -> list[str]:
        """The photos that a search with the same image finds."""
        found: list[Match] = await self.vectors.nearest(
            self.finder.embedding(photo_id.encode()),
            photos=10,
            score_threshold=0.5,
            collection_ids=collections,
        )
        return [match.photo_id for match in found]


class Base:
    """The stores that every version shares."""

    def __init__(self, folder: Path) -> None:
        environment = {**embedded_environment(folder, KEY), "LEASE_S": "9", **SHORT_TIMEOUTS}
        self.settings = Settings(**{name.lower(): value for name, value in environment.items()})
        self.metadata, self.images = metadata_store(self.settings), image_store(self.settings)
        self.leases = PhotoLeases(self.metadata, lease_s=self.settings.lease_s)
        self.said: list[str] = []
        self.patience = Patience(self.said.append)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        await self.metadata.open()
        await self.images.open()
        try:
            yield
        finally:
            await self.metadata.close()
            await self.images.close()

    @asynccontextmanager
    async def service(self, pack: PackInfo) -> AsyncIterator[Service]:
        """A running service of the pack. Raises `NotReady` when the collection belongs to another pack."""
        service = Service(self, pack)
        await service.vectors.open()
        try:
            yield service
        finally:
            await service.vectors.close()

    @asynccontextmanager
    async def change_to(self, pack: PackInfo, finder: OneFace | None = None) -> AsyncIterator[Change]:
        """The change that `python -m bentos.reembed` runs with the settings of the pack."""
        vectors = replacement_vector_store(self.settings, pack)
        writer = VectorWriter(embedder=finder or OneFace(pack), metadata=self.metadata, vectors=vectors)
        mirroring = Mirroring(
            writer=writer,
            metadata=self.metadata,
            vectors=vectors,
            images=self.images,
            max_image_bytes=1_000_000,
            leases=self.leases,
        )
        passes = Passes(
            mirroring=mirroring,
            metadata=self.metadata,
            vectors=vectors,
            patience=self.patience,
            in_flight=4,
        )
        await vectors.open()
        try:
            yield Change(passes, vectors, self.patience, self.said.append, alias="faces")
        finally:
            await vectors.close()
