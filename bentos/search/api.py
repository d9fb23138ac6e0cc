"""The routes of image-search."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, File, Form, Request, UploadFile

from bentos.config.settings import Role
from bentos.config.startup import settings_or_exit
from bentos.domain import errors
from bentos.http.api import EitherSlashRouter, api_key_header, unambiguous
from bentos.http.fields import CollectionId, read_image
from bentos.http.openapi import documented
from bentos.observability.stages import end_stage
from bentos.search.query import PhotoSearch, SearchPage
from bentos.search.schemas import SearchAnswer

SERVICE: Role = "image-search"
_settings = settings_or_exit()
_fields = unambiguous("file", "top_k", "score_threshold", "page", "include_url", repeatable="collection_id")
router = EitherSlashRouter(dependencies=[Depends(api_key_header), Depends(_fields)], tags=[SERVICE])


async def photo_search(request: Request) -> PhotoSearch:
    """The `PhotoSearch` of this app. Raises `DependencyUnavailable` or `NotReady` until Milvus has been opened."""
    request.app.state.readiness.require("milvus")
    search: PhotoSearch = request.app.state.photo_search
    return search


@router.post(
    "/search/",
    summary="The photos that show the person of a selfie",
    responses=documented(
        errors.InvalidImageFormat.code,
        errors.ImageTooLarge.code,
        errors.NoFacesDetected.code,
        errors.TooManyFaces.code,
        errors.Overloaded.code,
    ),
)
async def search(
    photos: Annotated[PhotoSearch, Depends(photo_search)],
    file: Annotated[UploadFile, File(description="A JPEG, PNG or WebP image that shows one face.")],
    collection_id: Annotated[
        list[CollectionId] | None,
        Form(description="Search only photos of these collections; if absent, all photos."),
    ] = None,
    top_k: Annotated[
        int, Form(ge=1, le=_settings.top_k_max, description="Photos per page.")
    ] = _settings.top_k_default,
    score_threshold: Annotated[float, Form(ge=-1, le=1, allow_inf_nan=False)] = _settings.score_threshold,
    page: Annotated[int, Form(ge=1, le=2**31 - 1)] = 1,
    include_url: Annotated[bool, Form(description="Add an expiring link to each image.")] = False,
) -> SearchAnswer:
    """Returns unique photos, most similar first, each with its most similar face."""
    started = time.perf_counter()
    image = await read_image(file, max_bytes=_settings.search_max_image_bytes)
    end_stage("form")
    found = await photos.similar_photos(
        image,
        collection_ids=collection_id or (),
        top_k=top_k,
        page=page,
        score_threshold=score_threshold,
        include_url=include_url,
    )
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    return SearchAnswer.model_validate(
        {
            "results": _results(found),
            "count": len(found.matches),
            "page": page,
            "top_k": top_k,
            "has_more": found.has_more,
            "score_threshold": score_threshold,
            "query": {"bbox": found.face.bbox.as_list(), "score": found.face.score},
            "took_ms": took_ms,
        }
    )


def _results(found: SearchPage) -> list[dict[str, object]]:
    """The fields of `FoundPhoto`; to build fifty models one by one would cost more than the rest of the response."""
    return [
        {
            "photo_id": match.photo_id,
            "collection_id": match.collection_id,
            "face_id": match.face_id,
            "bbox": match.bbox.as_list(),
            "score": round(match.score, 4),
            "url": url,
        }
        for match, url in zip(found.matches, found.urls, strict=True)
    ]
