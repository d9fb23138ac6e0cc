"""Searches photos by a face, of a selfie or indexed: finds the photos with the most similar faces, returns one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bentos.domain.errors import FaceNotFound, InvalidRequest, NoFacesDetected, TooManyFaces
from bentos.domain.faces import BoundingBox, Embedding, Face
from bentos.observability.stages import end_stage
from bentos.runner.finder import FaceFinder
from bentos.stores.base import ImageStore, VectorStore
from bentos.stores.records import Match

_DEEPEST = 10_000
"""The most photos that the pages of one search can reach; more would make Milvus sort a large part of the vectors."""

_LISTED_FACES = 100
"""The most boxes in an error `too_many_faces`: those with the highest scores."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of matches, best first; `urls` has one entry per match: a link, or None.

    `bbox`: of the face that was searched for. `score`: the detector's for this face, None for an indexed face.
    """

    bbox: BoundingBox
    score: float | None
    matches: tuple[Match, ...]
    urls: tuple[str | None, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page (from 1) of the photos whose most similar face scores at least `score_threshold`.

    Empty `collection_ids` mean all photos.
    """

    collection_ids: Sequence[str]
    top_k: int
    page: int
    score_threshold: float
    include_url: bool


class PhotoSearch:
    """Searches photos by a face, for image-search.

    Every method may raise `InvalidRequest` when the page is beyond the most photos that pages can reach, and
    `DependencyUnavailable`. Those that take a selfie may raise `NoFacesDetected`, `InvalidImageFormat`, `ImageTooLarge`
    and `Overloaded`.
    """

    def __init__(
        self, *, finder: FaceFinder, vectors: VectorStore, images: ImageStore, url_expires_s: int
    ) -> None:
        self._finder, self._vectors, self._images = finder, vectors, images
        self._url_expires_s = url_expires_s

    async def by_only_face(self, selfie: bytes, asked: PageRequest) -> SearchPage:
        """Photos of the one face in the image. Also raises `TooManyFaces`."""
        found = await self._finder.embed_only_face(selfie)
        if found.count > 1:
            boxes = [{"bbox": face.bbox.as_list(), "score": face.score} for face in found.faces]
            raise TooManyFaces(
                f"There are {found.count} faces in this image; send one with a single face, or say which with bbox or"
                " face=largest.",
                {"faces": boxes[:_LISTED_FACES], "count": found.count},
            )
        return await self._by_face(next(iter(found.faces), None), asked)

    async def by_largest_face(self, selfie: bytes, asked: PageRequest) -> SearchPage:
        """Photos of the face with the largest box."""
        found = await self._finder.embed_largest_face(selfie)
        return await self._by_face(next(iter(found.faces), None), asked)

    async def by_face_at(self, selfie: bytes, box: BoundingBox, asked: PageRequest) -> SearchPage:
        """Photos of the face that overlaps the box best. Raises `NoFacesDetected` when none does (`same_face`)."""
        found = await self._finder.embed_only_at(selfie, box)
        if not found.faces:
            raise NoFacesDetected("There is no face in this box.")
        return await self._by_face(found.faces[0], asked)

    async def by_indexed_face(self, face_id: str, asked: PageRequest) -> SearchPage:
        """Photos of an indexed face, that of the face itself included. Raises `FaceNotFound`."""
        face = await self._vectors.face(face_id)
        if face is None:
            raise FaceNotFound(face_id)
        return await self._page(face.embedding, face.bbox, None, asked)

    async def _by_face(self, face: Face | None, asked: PageRequest) -> SearchPage:
        if face is None:
            raise NoFacesDetected("There is no face in this image.")
        if face.embedding is None:
            raise NoFacesDetected("The face in this image cannot be aligned.")
        return await self._page(face.embedding, face.bbox, face.score, asked)

    async def _page(
        self, embedding: Embedding, bbox: BoundingBox, score: float | None, asked: PageRequest
    ) -> SearchPage:
        first, last = (asked.page - 1) * asked.top_k, asked.page * asked.top_k
        found = await self._vectors.nearest(
            embedding,
            photos=min(last, _DEEPEST) + 1,
            score_threshold=asked.score_threshold,
            collection_ids=asked.collection_ids,
        )
        end_stage("milvus")
        if len(found) > _DEEPEST and last > _DEEPEST:
            reason = f"page x top_k may reach {_DEEPEST}; raise score_threshold to narrow the search"
            raise InvalidRequest("The page is too far from the first one.", {"page": reason})
        matches = tuple(found[first:last])
        urls = await self._urls(matches) if asked.include_url else [None] * len(matches)
        return SearchPage(bbox, score, matches, tuple(urls), has_more=len(found) > last)

    async def _urls(self, matches: Sequence[Match]) -> list[str | None]:
        photo_ids = [match.photo_id for match in matches]
        return await self._images.presigned_urls(photo_ids, expires_s=self._url_expires_s)
