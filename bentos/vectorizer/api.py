"""The routes of image-vectorizer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, File, Form, Query, Request, UploadFile

from bentos.config.settings import Role
from bentos.config.startup import settings_or_exit
from bentos.domain import errors
from bentos.http.api import EitherSlashRouter, api_key_header, invalid_fields, nothing_else, unambiguous
from bentos.http.fields import BoxText, CollectionId, FaceId, PhotoId, parse_box, read_image
from bentos.http.openapi import documented, one_of_forms
from bentos.imaging.kinds import sniff_content_type
from bentos.stores.records import PhotoRecord, PhotoStatus
from bentos.vectorizer.indexing import IndexedFace, Indexing
from bentos.vectorizer.removal import Removal
from bentos.vectorizer.schemas import (
    AddedFace,
    DetectedPhoto,
    FoundFace,
    PhotoListing,
    PhotoRow,
    PhotoWithFaces,
    RemovedAll,
    RemovedPhoto,
)
from bentos.vectorizer.whole_photo import faces_of

SERVICE: Role = "image-vectorizer"
_settings = settings_or_exit()
_fields = unambiguous(
    "file", "photo_id", "collection_id", "index", "face_id", "bbox", "status", "limit", "offset", "purge"
)
router = EitherSlashRouter(dependencies=[Depends(api_key_header), Depends(_fields)], tags=[SERVICE])


async def indexing(request: Request) -> Indexing:
    """The `Indexing` of this app. Raises `DependencyUnavailable` or `NotReady` until every store has been opened."""
    request.app.state.readiness.require()
    return await listing(request)


async def listing(request: Request) -> Indexing:
    """The `Indexing` of this app, for routes that use the metadata only."""
    request.app.state.readiness.require("postgrest")
    logic: Indexing = request.app.state.indexing
    return logic


async def removal(request: Request) -> Removal:
    """The `Removal` of this app. Raises `DependencyUnavailable` or `NotReady` until every store has been opened."""
    request.app.state.readiness.require()
    logic: Removal = request.app.state.removal
    return logic


def _form(description: str) -> Any:
    """A field of a form without a file, which is declared as multipart too."""
    return Form(media_type="multipart/form-data", description=description)


AllStores = Annotated[Indexing, Depends(indexing)]
Removing = Annotated[Removal, Depends(removal)]
MetadataAlone = Annotated[Indexing, Depends(listing)]


@router.post(
    "/detect_faces/",
    summary="Store a photo and find its faces",
    openapi_extra=one_of_forms({"file"}, {"photo_id"}),
    responses=documented(
        errors.InvalidImageFormat.code,
        errors.PhotoNotFound.code,
        errors.CollectionMismatch.code,
        errors.ImageTooLarge.code,
        errors.NoFacesDetected.code,
        errors.Overloaded.code,
    ),
)
async def detect_faces(
    photos: AllStores,
    file: Annotated[UploadFile | None, File(description="A JPEG, PNG or WebP image.")] = None,
    photo_id: Annotated[
        PhotoId | None,
        Form(description="An id for the uploaded file, or the id of an image in the object store."),
    ] = None,
    collection_id: Annotated[CollectionId | None, Form()] = None,
    index: Annotated[
        bool,
        Form(
            description="Index every face too, except those that are too small or cannot be aligned.",
            examples=[True],
        ),
    ] = False,
) -> DetectedPhoto:
    """Send `file`, or the `photo_id` of an image in the object store. Can be repeated."""
    if file is not None:
        image = await read_image(file, max_bytes=_settings.vectorize_max_image_bytes)
        upload = photos.index_uploaded if index else photos.detect_uploaded
        photo = await upload(image, sniff_content_type(image), photo_id=photo_id, collection_id=collection_id)
    elif photo_id is not None:
        read = photos.index_stored if index else photos.detect_stored
        photo = await read(photo_id, collection_id=collection_id)
    else:
        raise invalid_fields({"file": "send file, or the photo_id of a stored image"})
    return _detected(photo, min_size=photos.index_min_size if index else None)


@router.put(
    "/add_face/",
    summary="Make a face searchable",
    openapi_extra=one_of_forms({"face_id"}, {"photo_id", "bbox"}, exclusive=True),
    responses=documented(
        errors.InvalidImageFormat.code,
        errors.PhotoNotFound.code,
        errors.FaceNotFound.code,
        errors.CollectionMismatch.code,
        errors.NoFacesDetected.code,
        errors.Overloaded.code,
    ),
)
async def add_face(
    photos: AllStores,
    face_id: Annotated[FaceId | None, _form("A face of /detect_faces/.")] = None,
    photo_id: Annotated[PhotoId | None, _form("A photo; requires bbox.")] = None,
    bbox: Annotated[BoxText | None, _form("Where the face is in the photo; requires photo_id.")] = None,
    collection_id: Annotated[
        CollectionId | None, _form("Becomes the collection of the photo if it has none.")
    ] = None,
) -> AddedFace:
    """Send `face_id`, or `photo_id` and `bbox`. Can be repeated."""
    if face_id is not None and photo_id is None and bbox is None:
        return _added(await photos.index_face(face_id, collection_id=collection_id))
    if face_id is None and photo_id is not None and bbox is not None:
        return _added(await photos.index_region(photo_id, parse_box(bbox), collection_id=collection_id))
    raise invalid_fields({"face_id": "send face_id alone, or photo_id and bbox"})


@router.get("/embed_status/", summary="List photos and their status", responses=documented())
async def embed_status(
    photos: MetadataAlone,
    collection_id: Annotated[CollectionId | None, Query()] = None,
    status: Annotated[PhotoStatus | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> PhotoListing:
    """Newest first, ties by `photo_id`."""
    page = await photos.list_photos(collection_id=collection_id, status=status, limit=limit, offset=offset)
    rows = [PhotoRow.model_validate(photo, from_attributes=True) for photo in page.items]
    return PhotoListing(items=rows, total=page.total, limit=limit, offset=offset)


@router.get(
    "/embed_status/{photo_id}",
    summary="The status of one photo and its faces",
    responses=documented(errors.PhotoNotFound.code),
)
async def photo_status(photos: MetadataAlone, photo_id: PhotoId) -> PhotoWithFaces:
    """A face that is being removed is not listed."""
    details = await photos.photo_details(photo_id)
    row = PhotoRow.model_validate(details.summary, from_attributes=True)
    photo = details.record
    return PhotoWithFaces(
        **row.model_dump(),
        width=photo.width,
        height=photo.height,
        faces=_faces(photo, min_size=photos.index_min_size),
    )


@router.delete(
    "/remove/{photo_id}",
    summary="Remove the faces of a photo, or one of them",
    dependencies=[Depends(nothing_else("purge", "face_id"))],
    responses=documented(errors.PhotoNotFound.code, errors.FaceNotFound.code, errors.Overloaded.code),
)
async def remove(
    photos: Removing,
    photo_id: PhotoId,
    purge: Annotated[bool, Query(description="Remove the image and its record too.")] = False,
    face_id: Annotated[
        FaceId | None, Query(description="Remove this face only; not together with purge=true.")
    ] = None,
) -> RemovedPhoto:
    """Removes them from the search and from the metadata. Can be repeated."""
    if face_id is not None:
        if purge:
            raise invalid_fields({"purge": "removes the whole photo; send it without face_id"})
        return RemovedPhoto(photo_id=photo_id, faces_removed=await photos.remove_face(photo_id, face_id))
    return RemovedPhoto(photo_id=photo_id, faces_removed=await photos.remove_photo(photo_id, purge=purge))


@router.delete(
    "/remove_all/",
    summary="Remove every face of every photo",
    dependencies=[Depends(nothing_else("collection_id"))],
    responses=documented(errors.Overloaded.code),
)
async def remove_all(
    photos: Removing,
    collection_id: Annotated[
        CollectionId | None, Query(description="Only photos of this collection.")
    ] = None,
) -> RemovedAll:
    """Removes the faces of all photos, or of one collection. Can be repeated."""
    removed = await photos.remove_all(collection_id=collection_id)
    return RemovedAll(photos=removed.photos, faces_removed=removed.faces)


def _faces(photo: PhotoRecord, *, min_size: float | None) -> list[FoundFace]:
    """`min_size`: of the faces that are indexed with their photo; None: give no reasons."""
    return [
        FoundFace(
            face_id=seen.face.face_id,
            bbox=seen.face.bbox.as_list(),
            score=seen.face.score,
            status=seen.status,
            reason=None if min_size is None else seen.reason,
        )
        for seen in faces_of(photo, min_size=min_size or 0)
    ]


def _detected(photo: PhotoRecord, *, min_size: float | None) -> DetectedPhoto:
    return DetectedPhoto(
        photo_id=photo.photo_id,
        collection_id=photo.collection_id,
        width=photo.width or 0,
        height=photo.height or 0,
        faces=_faces(photo, min_size=min_size),
        faces_left_out=photo.faces_left_out,
    )


def _added(indexed: IndexedFace) -> AddedFace:
    return AddedFace(
        face_id=indexed.face.face_id,
        photo_id=indexed.photo.photo_id,
        collection_id=indexed.photo.collection_id,
        bbox=indexed.face.bbox.as_list(),
        created=indexed.created,
    )
