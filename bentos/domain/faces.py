"""Boxes, landmarks and faces as values, without I/O, HTTP or models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Embedding = NDArray[np.float32]
"""(dim,) float32, L2-normalised."""

Landmarks = tuple[tuple[float, float], ...]
"""Five (x, y) points in pixels: left eye, right eye, nose, left and right corner of the mouth."""


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A rectangle in pixels of the upright image, origin top left, rounded to 0.1 px."""

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def clipped(cls, xyxy: Any, width: int, height: int) -> BoundingBox:
        """Round `xyxy` (four numbers) to 0.1 px and clip it to a `width` × `height` image."""
        x1, y1, x2, y2 = (float(v) for v in xyxy)
        return cls(
            round(min(max(x1, 0.0), width), 1),
            round(min(max(y1, 0.0), height), 1),
            round(min(max(x2, 0.0), width), 1),
            round(min(max(y2, 0.0), height), 1),
        )

    @property
    def shorter_side(self) -> float:
        """In pixels."""
        return min(self.x2 - self.x1, self.y2 - self.y1)

    @property
    def area(self) -> float:
        """In square pixels; 0 for an empty or inverted box."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    def iou(self, other: BoundingBox) -> float:
        """Intersection over union, 0..1 (Jaccard index of the two areas)."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0  # the area of two tiny boxes can be too small for a float

    def as_list(self) -> list[float]:
        """`[x1, y1, x2, y2]`, as in the API."""
        return [self.x1, self.y1, self.x2, self.y2]


@dataclass(frozen=True, slots=True)
class Face:
    """One face found in an image.

    `score` is the detector's confidence, 0..1. `embedding` is None until the face is embedded.
    """

    bbox: BoundingBox
    score: float
    landmarks: Landmarks
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class FacesInImage:
    """The faces that the runner found in one image, best score first.

    `width`, `height`: of the upright image, pixels. `left_out`: how many more the detector found, with lower scores
    than those in `faces`; they are not refined or embedded, because they are above the limit.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    left_out: int = 0

    @property
    def count(self) -> int:
        """How many faces the detector found, including those left out."""
        return len(self.faces) + self.left_out


LeftOut = Literal["too_small", "not_alignable"]
"""Why a detected face is not indexed together with its photo."""

_SMALLEST_SPREAD = 1e-3


def left_out(bbox: BoundingBox, landmarks: Landmarks, *, min_size: float) -> LeftOut | None:
    """Why a face is left out when its whole photo is indexed, or None. `min_size`: of the shorter side, pixels."""
    if bbox.shorter_side < min_size:
        return "too_small"
    return None if can_be_aligned(landmarks) else "not_alignable"


def can_be_aligned(landmarks: Landmarks) -> bool:
    """Whether the landmarks are finite and do not coincide in one point."""
    # Plain complex numbers: numpy takes five times as long for five points.
    points = [complex(x, y) for x, y in landmarks]
    centre = sum(points) / len(points)
    # With a point that is not finite the spread is no number, and the comparison is false.
    return sum(abs(point - centre) ** 2 for point in points) >= _SMALLEST_SPREAD


_IN_UPRIGHT_BOX = ((0.30, 0.41), (0.70, 0.41), (0.50, 0.61), (0.34, 0.75), (0.66, 0.75))
"""Where the landmarks lie in the box of an upright face, as shares of its sides: the medians of 60 detected selfies,
made symmetric."""


def upright_landmarks(bbox: BoundingBox) -> Landmarks:
    """Where the landmarks of an upright face with this box usually lie, for a face whose own cannot be aligned."""
    width, height = bbox.x2 - bbox.x1, bbox.y2 - bbox.y1
    return tuple((bbox.x1 + x * width, bbox.y1 + y * height) for x, y in _IN_UPRIGHT_BOX)


SAME_FACE_IOU = 0.5
"""Two boxes that overlap at least this much are one face."""


class _Boxed(Protocol):
    @property
    def bbox(self) -> BoundingBox: ...


AnyBoxed = TypeVar("AnyBoxed", bound=_Boxed)


def same_face(bbox: BoundingBox, faces: Iterable[AnyBoxed]) -> AnyBoxed | None:
    """The face whose box overlaps `bbox` best, or None when no IoU reaches `SAME_FACE_IOU`."""
    best = max(faces, key=lambda face: face.bbox.iou(bbox), default=None)
    return best if best is not None and best.bbox.iou(bbox) >= SAME_FACE_IOU else None
