"""Searches photos by selfie: embeds its only face, finds the photos with the most similar faces, returns one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bentos.domain.errors import InvalidRequest, NoFacesDetected, TooManyFaces
from bentos.domain.faces import Face
from bentos.observability.stages import end_stage
from bentos.runner.client import FaceFinder
from bentos.stores.base import ImageStore, VectorStore
from bentos.stores.records import Match

_DEEPEST = 10_000
"""The most photos that the pages of one search can reach; more would make Milvus sort a large part of the vectors."""

_LISTED_FACES = 100
"""The most boxes in an error `too_many_faces`: those with the highest scores."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of matches, best first; `urls` has one entry per match: a link, or None."""

    face: Face
    matches: tuple[Match, ...]
    urls: tuple[str | None, ...]
    has_more: bool


class PhotoSearch:
    """Searches photos by selfie, for image-search."""

    def __init__(
        self, *, finder: FaceFinder, vectors: VectorStore, images: ImageStore, url_expires_s: int
    ) -> None:
        self._finder, self._vectors, self._images = finder, vectors, images
        self._url_expires_s = url_expires_s

    async def similar_photos(
        self,
        selfie: bytes,
        *,
        collection_ids: Sequence[str],
        top_k: int,
        page: int,
        score_threshold: float,
        include_url: bool,
    ) -> SearchPage:
        """Page `page` (from 1) of the photos whose most similar face scores at least `score_threshold`.

        Raises `NoFacesDetected`; `TooManyFaces`; `InvalidImageFormat`; `ImageTooLarge`; `InvalidRequest` when the page
        is beyond the most photos that pages can reach; `Overloaded`; `DependencyUnavailable`.
        """
        face = await self._only_face(selfie)
        if face.embedding is None:
            raise NoFacesDetected("The face in this image cannot be aligned.")
        first, last = (page - 1) * top_k, page * top_k
        found = await self._vectors.nearest(
            face.embedding,
            photos=min(last, _DEEPEST) + 1,
            score_threshold=score_threshold,
            collection_ids=collection_ids,
        )
        end_stage("milvus")
        if len(found) > _DEEPEST and last > _DEEPEST:
            reason = f"page x top_k may reach {_DEEPEST}; raise score_threshold to narrow the search"
            raise InvalidRequest("The page is too far from the first one.", {"page": reason})
        matches = tuple(found[first:last])
        urls = await self._urls(matches) if include_url else [None] * len(matches)
        return SearchPage(face, matches, tuple(urls), has_more=len(found) > last)

    async def _only_face(self, selfie: bytes) -> Face:
        found = await self._finder.embed_only_face(selfie)
        if not found.faces:
            raise NoFacesDetected("There is no face in this image.")
        if found.count > 1:
            boxes = [{"bbox": face.bbox.as_list(), "score": face.score} for face in found.faces]
            raise TooManyFaces(
                f"There are {found.count} faces in this image; send one with a single face.",
                {"faces": boxes[:_LISTED_FACES], "count": found.count},
            )
        return found.faces[0]

    async def _urls(self, matches: Sequence[Match]) -> list[str | None]:
        photo_ids = [match.photo_id for match in matches]
        return await self._images.presigned_urls(photo_ids, expires_s=self._url_expires_s)
