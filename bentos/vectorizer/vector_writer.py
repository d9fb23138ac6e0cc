"""Embeds faces, and stores their vectors while the photo's lease is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bentos.domain.faces import Embedding, Landmarks, can_be_aligned, upright_landmarks
from bentos.stores.base import MetadataStore, VectorStore
from bentos.stores.records import FaceRecord, FaceVector, Lease, LeaseLost, PhotoRecord


class Embedder(Protocol):
    """The part of a `FaceFinder` that embeds faces."""

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """See `FaceFinder`."""


class VectorWriter:
    """Embeds faces and stores their vectors, for one vector store. Every method may raise `DependencyUnavailable`."""

    def __init__(self, *, embedder: Embedder, metadata: MetadataStore, vectors: VectorStore) -> None:
        self._embedder, self._metadata, self._vectors = embedder, metadata, vectors

    async def embed(self, image: bytes, faces: Sequence[FaceRecord]) -> dict[str, Embedding]:
        """Embeddings by `face_id`. Raises what `FaceFinder.embed` raises.

        A face whose landmarks cannot be aligned is embedded as an upright face in its box, and left out when the box is
        empty too.
        """
        if not faces:
            return {}
        embeddings = await self._embedder.embed(image, [_landmarks_of(face) for face in faces])
        pairs = zip(faces, embeddings, strict=True)
        return {face.face_id: embedding for face, embedding in pairs if embedding is not None}

    async def save(
        self,
        photo: PhotoRecord,
        faces: Sequence[FaceRecord],
        embeddings: Mapping[str, Embedding],
        lease: Lease,
    ) -> None:
        """Store the vectors of the faces that have an embedding, record the faces as indexed, release the lease.

        Raises `LeaseLost`.
        """
        vectors = [
            FaceVector(face.face_id, photo.photo_id, photo.collection_id, face.bbox, embeddings[face.face_id])
            for face in faces
            if face.face_id in embeddings
        ]
        if vectors:
            await self._vectors.save_faces(vectors)
        written = [vector.face_id for vector in vectors]
        try:
            await self._metadata.finish_indexing(photo.photo_id, face_ids=written, lease=lease)
        except LeaseLost:
            await self._take_back(photo.photo_id, written)
            raise

    async def _take_back(self, photo_id: str, written: Sequence[str]) -> None:
        """Remove the written vectors of faces that another writer, which took the photo over, has removed."""
        photo = await self._metadata.photo(photo_id)
        alive = {face.face_id for face in photo.faces if face.state != "removing"} if photo else set()
        await self._vectors.remove_faces([face_id for face_id in written if face_id not in alive])


def _landmarks_of(face: FaceRecord) -> Landmarks:
    return face.landmarks if can_be_aligned(face.landmarks) else upright_landmarks(face.bbox)
