"""The answers of the API as typed values.

Boxes are `(x1, y1, x2, y2)` in pixels of the upright image, origin top left. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

Box = tuple[float, float, float, float]
Json = Mapping[str, Any]


def _box(corners: Any) -> Box:
    x1, y1, x2, y2 = (float(corner) for corner in corners)
    return x1, y1, x2, y2


@dataclass(frozen=True, slots=True)
class Face:
    """A face of a photo. `score`: confidence of the detector, 0..1. `reason`: why indexing left it out, if it did."""

    face_id: str
    bbox: Box
    score: float
    status: str = "detected"
    reason: str | None = None

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(
            answer["face_id"],
            _box(answer["bbox"]),
            float(answer["score"]),
            answer.get("status", "detected"),
            answer.get("reason"),
        )


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and the faces found in it, best first. `faces_left_out`: faces beyond MAX_FACES, which are not stored."""

    photo_id: str
    collection_id: str | None
    width: int
    height: int
    faces: tuple[Face, ...]
    faces_left_out: int = 0

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(
            answer["photo_id"],
            answer["collection_id"],
            answer["width"],
            answer["height"],
            tuple(Face.from_json(face) for face in answer["faces"]),
            answer.get("faces_left_out", 0),
        )


@dataclass(frozen=True, slots=True)
class AddedFace:
    """A face that is indexed; `created` is False when it was indexed before."""

    face_id: str
    photo_id: str
    collection_id: str | None
    bbox: Box
    status: str
    created: bool

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(
            answer["face_id"],
            answer["photo_id"],
            answer["collection_id"],
            _box(answer["bbox"]),
            answer["status"],
            answer["created"],
        )


@dataclass(frozen=True, slots=True)
class PhotoStatus:
    """How far the work on a photo has come. `status`: indexed, partial, detected, no_faces or failed.

    `width`, `height` and `faces` are set when one photo is asked for, and None in a listing.
    """

    photo_id: str
    collection_id: str | None
    status: str
    faces_detected: int
    faces_indexed: int
    created_at: datetime
    updated_at: datetime
    width: int | None = None
    height: int | None = None
    faces: tuple[Face, ...] | None = None

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        faces = answer.get("faces")
        return cls(
            answer["photo_id"],
            answer["collection_id"],
            answer["status"],
            answer["faces_detected"],
            answer["faces_indexed"],
            datetime.fromisoformat(answer["created_at"]),
            datetime.fromisoformat(answer["updated_at"]),
            answer.get("width"),
            answer.get("height"),
            None if faces is None else tuple(Face.from_json(face) for face in faces),
        )


@dataclass(frozen=True, slots=True)
class PhotoPage:
    """One page of the photos, newest first; `total` counts all that match."""

    items: tuple[PhotoStatus, ...]
    total: int
    limit: int
    offset: int

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        items = tuple(PhotoStatus.from_json(item) for item in answer["items"])
        return cls(items, answer["total"], answer["limit"], answer["offset"])


@dataclass(frozen=True, slots=True)
class RemovedFaces:
    """How many faces of a photo were removed."""

    photo_id: str
    faces_removed: int

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(answer["photo_id"], answer["faces_removed"])


@dataclass(frozen=True, slots=True)
class RemovedPhotos:
    """How many faces of how many photos were removed."""

    photos: int
    faces_removed: int

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(answer["photos"], answer["faces_removed"])


@dataclass(frozen=True, slots=True)
class Match:
    """A photo that was found, with its most similar face. `score`: cosine, -1..1. `url`: an expiring link, or None."""

    photo_id: str
    collection_id: str | None
    face_id: str
    bbox: Box
    score: float
    url: str | None

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(
            answer["photo_id"],
            answer["collection_id"],
            answer["face_id"],
            _box(answer["bbox"]),
            float(answer["score"]),
            answer.get("url"),
        )


@dataclass(frozen=True, slots=True)
class QueryFace:
    """The face that was searched for; None where the service does not say it."""

    bbox: Box | None
    score: float | None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of the photos found, most similar first."""

    results: tuple[Match, ...]
    count: int
    page: int
    top_k: int
    has_more: bool
    score_threshold: float
    query: QueryFace
    took_ms: float

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        query = answer.get("query") or {}
        bbox = query.get("bbox")
        return cls(
            tuple(Match.from_json(match) for match in answer["results"]),
            answer["count"],
            answer["page"],
            answer["top_k"],
            answer["has_more"],
            float(answer["score_threshold"]),
            QueryFace(None if bbox is None else _box(bbox), query.get("score")),
            float(answer["took_ms"]),
        )


@dataclass(frozen=True, slots=True)
class Pong:
    """The service that answered, and its version."""

    status: str
    service: str
    version: str

    @classmethod
    def from_json(cls, answer: Json) -> Self:
        """Read it from an answer."""
        return cls(answer["status"], answer["service"], answer["version"])
