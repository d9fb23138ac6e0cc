"""The responses of image-vectorizer's endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bentos.domain.faces import LeftOut
from bentos.stores.records import PhotoStatus
from bentos.vectorizer.whole_photo import FaceStatus

Box = list[float]

_FACE = "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11"
_INDEXED = {
    "face_id": _FACE,
    "bbox": [463.0, 266.1, 576.2, 416.0],
    "score": 0.93,
    "status": "indexed",
    "reason": None,
}
_LEFT_OUT = {
    "face_id": "b1e97a52-0f0e-5c1c-9a11-2b7d9f0f6f22",
    "bbox": [12.0, 40.5, 30.1, 62.2],
    "score": 0.71,
    "status": "detected",
    "reason": "too_small",
}
_PHOTO = {"photo_id": "holiday-042.jpg", "collection_id": "summer-2026"}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


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

    model_config = _example(
        {**_PHOTO, "width": 1280, "height": 886, "faces": [_INDEXED, _LEFT_OUT], "faces_left_out": 0}
    )

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


class PhotoWithFaces(PhotoRow):
    """The status of one photo and its faces, best first."""

    model_config = _example(
        {
            **_PHOTO,
            "status": "partial",
            "faces_detected": 2,
            "faces_indexed": 1,
            "created_at": "2026-07-01T09:30:00.000000+00:00",
            "updated_at": "2026-07-01T09:30:02.000000+00:00",
            "width": 1280,
            "height": 886,
            "faces": [_INDEXED, _LEFT_OUT],
        }
    )

    width: int | None = Field(description="In pixels, upright; null until the photo is searched for faces.")
    height: int | None
    faces: list[FoundFace]


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
