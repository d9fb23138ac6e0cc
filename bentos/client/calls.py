"""One function for each endpoint: builds the call, which both clients send. Fields left at None are not sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from bentos.client.answers import (
    AddedFace,
    Box,
    Json,
    Photo,
    PhotoPage,
    PhotoStatus,
    Pong,
    RemovedFaces,
    RemovedPhotos,
    SearchPage,
)

T = TypeVar("T")
Service = Literal["image-vectorizer", "image-search"]
Part = tuple[str, tuple[str | None, bytes | str]]
"""A field of a form, its file name if it is a file, and its value."""
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how its answer is read.

    `repeatable`: whether it may be sent again when it is unknown what came of it. Every call but `remove_all` may:
    that one would also remove what was added since it was sent first.
    """

    service: Service
    method: str
    path: str
    read: Callable[[Json], T]
    form: tuple[Part, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    repeatable: bool = True


def detect_faces(
    image: bytes | None = None,
    *,
    photo_id: str | None = None,
    collection_id: str | None = None,
    index: bool | None = None,
) -> Call[Photo]:
    """Store a photo and find its faces; `index=True` makes all of them searchable too.

    Send `image`, with an optional `photo_id` to name it, or the `photo_id` of an image in the object store.
    """
    form = _fields(photo_id=photo_id, collection_id=collection_id, index=index)
    return Call("image-vectorizer", "POST", "/detect_faces/", Photo.from_json, (*_file(image), *form))


def add_face(
    face_id: str | None = None,
    *,
    photo_id: str | None = None,
    bbox: Box | None = None,
    collection_id: str | None = None,
) -> Call[AddedFace]:
    """Make one face searchable: by its `face_id`, or by `photo_id` and `bbox`."""
    form = _fields(face_id=face_id, photo_id=photo_id, bbox=_corners(bbox), collection_id=collection_id)
    return Call("image-vectorizer", "PUT", "/add_face/", AddedFace.from_json, form)


def embed_status(
    *,
    collection_id: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[PhotoPage]:
    """List the photos and their status, newest first."""
    query = _query(collection_id=collection_id, status=status, limit=limit, offset=offset)
    return Call("image-vectorizer", "GET", "/embed_status/", PhotoPage.from_json, query=query)


def photo_status(photo_id: str) -> Call[PhotoStatus]:
    """The status of one photo, with its faces."""
    return Call("image-vectorizer", "GET", f"/embed_status/{_segment(photo_id)}", PhotoStatus.from_json)


def remove(photo_id: str, *, face_id: str | None = None, purge: bool | None = None) -> Call[RemovedFaces]:
    """Remove every face of a photo, or one of them; `purge=True` removes the image and its record too."""
    query = _query(face_id=face_id, purge=purge)
    path = f"/remove/{_segment(photo_id)}"
    return Call("image-vectorizer", "DELETE", path, RemovedFaces.from_json, query=query)


def remove_all(*, collection_id: str | None = None) -> Call[RemovedPhotos]:
    """Remove every face of every photo, or of one collection."""
    query = _query(collection_id=collection_id)
    return Call(
        "image-vectorizer", "DELETE", "/remove_all/", RemovedPhotos.from_json, query=query, repeatable=False
    )


def search(
    image: bytes | None = None,
    *,
    face_id: str | None = None,
    face: Literal["only", "largest"] | None = None,
    bbox: Box | None = None,
    collection_id: str | Sequence[str] | None = None,
    top_k: int | None = None,
    score_threshold: float | None = None,
    page: int | None = None,
    include_url: bool | None = None,
) -> Call[SearchPage]:
    """Find the photos that show the person of a selfie, or of an indexed face.

    Send `image`, with `face` or `bbox` if it shows several faces, or `face_id`. `collection_id`: one or several.
    """
    collections = [collection_id] if isinstance(collection_id, str) else list(collection_id or ())
    form = _fields(
        face_id=face_id,
        face=face,
        bbox=_corners(bbox),
        top_k=top_k,
        score_threshold=score_threshold,
        page=page,
        include_url=include_url,
    )
    several = tuple(part for each in collections for part in _fields(collection_id=each))
    return Call("image-search", "POST", "/search/", SearchPage.from_json, (*_file(image), *form, *several))


def ping(service: Service = "image-search") -> Call[Pong]:
    """Whether the service answers."""
    return Call(service, "GET", "/ping", Pong.from_json)


def _file(image: bytes | None) -> tuple[Part, ...]:
    return () if image is None else (("file", ("image", image)),)


def _fields(**values: Value) -> tuple[Part, ...]:
    return tuple((name, (None, text)) for name, text in _query(**values))


def _query(**values: Value) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(value)) for name, value in values.items() if value is not None)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _corners(bbox: Box | None) -> str | None:
    return None if bbox is None else json.dumps(list(bbox))


def _segment(photo_id: str) -> str:
    """The id as one segment of a path. Raises `ValueError` for a text that no photo can have as its id."""
    plain = photo_id.isprintable() and not set(photo_id) & set("/?#%\\")
    if not photo_id or not plain or photo_id.startswith("."):
        raise ValueError(f"{photo_id!r} cannot be the id of a photo")
    return photo_id
