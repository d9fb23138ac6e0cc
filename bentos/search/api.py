"""The routes of image-search."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import Depends, File, Form, Request, UploadFile

from bentos.config.settings import Role
from bentos.config.startup import settings_or_exit
from bentos.domain import errors
from bentos.http.api import EitherSlashRouter, api_key_header, invalid_fields, unambiguous
from bentos.http.fields import BoxText, CollectionId, FaceId, parse_box, read_image
from bentos.http.openapi import documented, one_of_forms
from bentos.observability.stages import end_stage
from bentos.search.query import PageRequest, PhotoSearch, SearchPage
from bentos.search.quick_route import Limits, quick_route
from bentos.search.schemas import SearchAnswer

SERVICE: Role = "image-search"
WhichFace = Literal["only", "largest"]
_settings = settings_or_exit()
_fields = unambiguous(
    "file",
    "face_id",
    "face",
    "bbox",
    "top_k",
    "score_threshold",
    "page",
    "include_url",
    repeatable="collection_id",
)


async def photo_search(request: Request) -> PhotoSearch:
    """The `PhotoSearch` of this app. Raises `DependencyUnavailable` or `NotReady` until Milvus has been opened."""
    request.app.state.readiness.require("milvus")
    search: PhotoSearch = request.app.state.photo_search
    return search


async def _quickly(request: Request, image: bytes, asked: PageRequest) -> dict[str, object]:
    """The answer to a search that has only a file and valid fields."""
    started = time.perf_counter()
    photos = await photo_search(request)
    end_stage("form")
    return _answer(await photos.by_only_face(image, asked), asked, started, _base_url(request))


router = EitherSlashRouter(
    dependencies=[Depends(api_key_header), Depends(_fields)],
    tags=[SERVICE],
    route_class=quick_route(
        Limits(
            max_bytes=_settings.search_max_image_bytes,
            top_k_default=_settings.top_k_default,
            top_k_max=_settings.top_k_max,
            score_threshold=_settings.score_threshold,
        ),
        _quickly,
    ),
)


async def page_request(
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
) -> PageRequest:
    """The fields that say which page of which photos is wanted."""
    return PageRequest(collection_id or (), top_k, page, score_threshold, include_url)


@router.post(
    "/search/",
    summary="The photos that show the person of a selfie",
    openapi_extra=one_of_forms({"file", "face?"}, {"file", "bbox"}, {"face_id"}, exclusive=True),
    responses=documented(
        errors.InvalidImageFormat.code,
        errors.FaceNotFound.code,
        errors.ImageTooLarge.code,
        errors.NoFacesDetected.code,
        errors.TooManyFaces.code,
        errors.Overloaded.code,
    ),
)
async def search(
    request: Request,
    photos: Annotated[PhotoSearch, Depends(photo_search)],
    asked: Annotated[PageRequest, Depends(page_request)],
    file: Annotated[
        UploadFile | None, File(description="A JPEG, PNG or WebP image that shows one face.")
    ] = None,
    face_id: Annotated[
        FaceId | None, Form(description="Instead of file: an indexed face, for more photos of that person.")
    ] = None,
    face: Annotated[
        WhichFace | None,
        Form(
            description="`only`, the default: several faces are `too_many_faces`. Or `largest`.",
            examples=["largest"],
        ),
    ] = None,
    bbox: Annotated[
        BoxText | None, Form(description="Which face of the file is meant, as `too_many_faces` lists them.")
    ] = None,
) -> SearchAnswer:
    """Send `file`, or `face_id`. Returns unique photos, most similar first, each with its most similar face."""
    started = time.perf_counter()
    found = await _found(photos, asked, file, face_id, face, bbox)
    return SearchAnswer.model_validate(_answer(found, asked, started, _base_url(request)))


async def _found(
    photos: PhotoSearch,
    asked: PageRequest,
    file: UploadFile | None,
    face_id: str | None,
    face: WhichFace | None,
    bbox: str | None,
) -> SearchPage:
    """The page for one of the forms that OpenAPI allows."""
    if face_id is not None and file is None and face is None and bbox is None:
        return await photos.by_indexed_face(face_id, asked)
    if file is None or face_id is not None:
        raise invalid_fields({"file": "send file, or face_id without file, face and bbox"})
    if face is not None and bbox is not None:
        raise invalid_fields({"face": "send face or bbox, not both"})
    image = await read_image(file, max_bytes=_settings.search_max_image_bytes)
    end_stage("form")
    if bbox is not None:
        return await photos.by_face_at(image, parse_box(bbox), asked)
    search_by = photos.by_largest_face if face == "largest" else photos.by_only_face
    return await search_by(image, asked)


def _base_url(request: Request) -> str:
    """Of links that the service itself serves, as the caller sees it; without a slash at its end."""
    return (_settings.s3_public_endpoint_url or str(request.base_url)).rstrip("/")


def _answer(found: SearchPage, asked: PageRequest, started: float, base_url: str) -> dict[str, object]:
    """The fields of `SearchAnswer`. `started`: when, on the performance counter. `base_url`: of the service's links."""
    return {
        "results": _results(found, base_url),
        "count": len(found.matches),
        "page": asked.page,
        "top_k": asked.top_k,
        "has_more": found.has_more,
        "score_threshold": asked.score_threshold,
        "query": {"bbox": found.bbox.as_list(), "score": found.score},
        "took_ms": round((time.perf_counter() - started) * 1000, 1),
    }


def _results(found: SearchPage, base_url: str) -> list[dict[str, object]]:
    """The fields of `FoundPhoto`; to build fifty models one by one would cost more than the rest of the response."""
    return [
        {
            "photo_id": match.photo_id,
            "collection_id": match.collection_id,
            "face_id": match.face_id,
            "bbox": match.bbox.as_list(),
            "score": match.score,
            "url": f"{base_url}{url}" if url is not None and url.startswith("/") else url,
        }
        for match, url in zip(found.matches, found.urls, strict=True)
    ]
