"""The values that the stores take and return: photos, faces, vectors, leases."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from bentos.domain.faces import BoundingBox, Embedding, Landmarks

PhotoStatus = Literal["indexed", "partial", "detected", "no_faces", "failed"]
"""The status of a photo in `/embed_status/`.

`failed`: work on it was begun and never finished. `no_faces`: none is recorded. `detected`: none of its
faces is indexed. `partial`: some are. `indexed`: all are. Faces in state `removing` do not count.
"""
PHOTO_STATUSES: tuple[PhotoStatus, ...] = get_args(PhotoStatus)

FaceState = Literal["detected", "pending", "indexed", "removing"]


class PhotoBusy(Exception):
    """Another writer holds the photo's lease. Try again shortly."""


class LeaseLost(Exception):
    """The lease expired and another writer took the photo over; what was begun is not finished."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change a photo, for `seconds` from the moment that a `begin_*` call grants it."""

    seconds: float
    token: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """A face as the metadata know it."""

    face_id: str
    bbox: BoundingBox
    score: float
    landmarks: Landmarks
    state: FaceState = "detected"


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """A photo as the metadata know it; `width` and `height` in pixels, None until its detection is finished.

    `faces` are ordered by score, best first, ties by `face_id`, and include those in state `removing`.
    `faces_left_out`: how many more the detection that was just made has found, beyond MAX_FACES; it is not stored.
    """

    photo_id: str
    collection_id: str | None
    image_sha256: str
    width: int | None
    height: int | None
    faces: tuple[FaceRecord, ...] = ()
    faces_left_out: int = 0


@dataclass(frozen=True, slots=True)
class PhotoSummary:
    """One row of `/embed_status/`."""

    photo_id: str
    collection_id: str | None
    status: PhotoStatus
    faces_detected: int
    faces_indexed: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PhotoDetails:
    """The row of `/embed_status/` of a photo and its record, read together."""

    summary: PhotoSummary
    record: PhotoRecord


@dataclass(frozen=True, slots=True)
class PhotoPage:
    """One page of a listing, newest first, ties by `photo_id`; `total` counts all photos that the filter matches."""

    items: tuple[PhotoSummary, ...]
    total: int


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What the last audit found. `differences`: how many of each kind; `photos`: how many photos it compared."""

    finished_at: datetime
    photos: int
    differences: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Overview:
    """How many photos there are of each status, and the result of the last audit, or None before the first."""

    photos: Mapping[PhotoStatus, int]
    audit: AuditResult | None


@dataclass(frozen=True, slots=True)
class RemovalBatch:
    """Photos whose removal has begun, and how many more match but are held by another writer."""

    photo_ids: tuple[str, ...]
    busy: int


@dataclass(frozen=True, slots=True)
class FaceVector:
    """A face as it is searched. `embedding`: (dim,) float32, L2-normalised."""

    face_id: str
    photo_id: str
    collection_id: str | None
    bbox: BoundingBox
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class StoredVector:
    """The fields of a vector that the audit compares."""

    face_id: str
    photo_id: str
    collection_id: str | None


@dataclass(frozen=True, slots=True)
class Match:
    """A photo that was found, with its most similar face. `score`: inner product of unit vectors, -1..1."""

    photo_id: str
    collection_id: str | None
    face_id: str
    bbox: BoundingBox
    score: float
