"""The responses of image-vectorizer's endpoints."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from bentos.domain.faces import LeftOut
from bentos.stores.records import PhotoStatus
from bentos.vectorizer.whole_photo import FaceStatus

Box = list[float]


class FoundFace(BaseModel):
    """A face of a photo."""

    face_id: str
    bbox: Box = Field(description="[x1, y1, x2, y2], pixels of the upright photo.")
    score: float = Field(description="Confidence of the detector, 0 to 1.")
    status: FaceStatus
    reason: LeftOut | None = Field(
        description="Why `index=true` left the face out; `/add_face/` may index it."
    )


class DetectedPhoto(BaseModel):
    """A photo and the faces found in it, best first."""

    photo_id: str
    collection_id: str | None
    width: int
    height: int
    faces: list[FoundFace]
    faces_left_out: int = Field(
        description="Faces beyond MAX_FACES, with lower scores than those listed; not stored."
    )


class AddedFace(BaseModel):
    """A face that is indexed; `created` is false when it was indexed before."""

    face_id: str
    photo_id: str
    collection_id: str | None
    bbox: Box
    status: str = "indexed"
    created: bool


class PhotoRow(BaseModel):
    """The status of one photo."""

    photo_id: str
    collection_id: str | None
    status: PhotoStatus
    faces_detected: int
    faces_indexed: int
    created_at: datetime
    updated_at: datetime


class PhotoListing(BaseModel):
    """One page of the photos, newest first; `total` counts all that match."""

    items: list[PhotoRow]
    total: int
    limit: int
    offset: int


class RemovedPhoto(BaseModel):
    """How many faces of a photo were removed."""

    photo_id: str
    faces_removed: int


class RemovedAll(BaseModel):
    """How many faces of how many photos were removed."""

    photos: int
    faces_removed: int
