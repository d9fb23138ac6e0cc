"""A photo whose faces were indexed together: which of its faces are indexed, and why the others were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bentos.domain.faces import LeftOut, left_out
from bentos.stores.records import FaceRecord, PhotoRecord

FaceStatus = Literal["detected", "indexed"]


@dataclass(frozen=True, slots=True)
class PhotoFace:
    """A face of a photo. `reason`: why indexing the whole photo leaves it out; None when it is indexed or can be."""

    face: FaceRecord
    status: FaceStatus
    reason: LeftOut | None


def faces_of(photo: PhotoRecord, *, min_size: float) -> tuple[PhotoFace, ...]:
    """The faces of a photo that are not being removed, best first. `min_size`: INDEX_MIN_FACE_SIZE, pixels."""
    return tuple(_seen(face, min_size) for face in photo.faces if face.state != "removing")


def to_index(faces: tuple[FaceRecord, ...], *, min_size: float) -> list[str]:
    """The ids of the faces that are indexed when their whole photo is."""
    return [face.face_id for face in faces if left_out(face.bbox, face.landmarks, min_size=min_size) is None]


def _seen(face: FaceRecord, min_size: float) -> PhotoFace:
    if face.state == "indexed":
        return PhotoFace(face, "indexed", None)
    return PhotoFace(face, "detected", left_out(face.bbox, face.landmarks, min_size=min_size))
