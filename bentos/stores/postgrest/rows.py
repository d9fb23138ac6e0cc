"""Turns the JSON of PostgREST into records, and records into JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bentos.domain.faces import BoundingBox
from bentos.stores.records import FaceRecord, PhotoRecord, PhotoSummary


def rows_of(faces: Sequence[FaceRecord]) -> list[dict[str, Any]]:
    """The faces as arguments of schema.sql's functions."""
    return [
        {
            "face_id": face.face_id,
            "bbox": face.bbox.as_list(),
            "score": face.score,
            "landmarks": face.landmarks,
        }
        for face in faces
    ]


def photo_of(row: dict[str, Any]) -> PhotoRecord:
    """A row of the view photo_records."""
    return PhotoRecord(
        photo_id=row["photo_id"],
        collection_id=row["collection_id"],
        image_sha256=row["image_sha256"],
        width=row["width"],
        height=row["height"],
        faces=tuple(_face_of(face) for face in row["faces"]),
    )


def _face_of(face: dict[str, Any]) -> FaceRecord:
    return FaceRecord(
        face_id=face["face_id"],
        bbox=BoundingBox(*(float(v) for v in face["bbox"])),
        score=float(face["score"]),
        landmarks=tuple((float(x), float(y)) for x, y in face["landmarks"]),
        state=face["state"],
    )


def summary_of(item: dict[str, Any]) -> PhotoSummary:
    """A row of the function list_photos."""
    return PhotoSummary(
        photo_id=item["photo_id"],
        collection_id=item["collection_id"],
        status=item["status"],
        faces_detected=item["faces_detected"],
        faces_indexed=item["faces_indexed"],
        created_at=datetime.fromisoformat(item["created_at"]),
        updated_at=datetime.fromisoformat(item["updated_at"]),
    )
