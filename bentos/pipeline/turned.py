"""Determines which candidates of the detector are faces and which way up they are, by close-up detections.

A detector is less sure of a turned face, and gives landmarks for an upside-down face as if it were upright. No single
number distinguishes the two; running the detector on the face in all four turns does. One run of the detector on a
square around one face is a look. docs/face-packs.md has the measured effect.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from bentos.domain.faces import BoundingBox, Face
from bentos.pipeline.alignment import similarity
from bentos.pipeline.detector import Candidates, Detector, SurestFace
from bentos.pipeline.pyramid import ImagePyramid, Pixels

CANDIDATE_THRESHOLD = 0.3
"""Lowest score of a candidate in the first detection."""

_UPRIGHT_THRESHOLD = 0.9
"""Score from which one look confirms that a sure candidate is upright."""

_TURNED_THRESHOLD = 0.8
"""Lowest score of the best look when the turns are compared."""

_SIDE = 96
"""Side of the detector's input for a look, pixels."""

_FACE_SIDE = 0.7 * _SIDE
"""How much of that side a face takes: the face with some surroundings, as in the detector's training."""

_FARTHEST = _SIDE / 4
"""A detection whose centre lies farther than this from the middle, pixels, is another face."""

_SAME_FACE = 0.5
"""Faces whose landmarks are nearer to each other than this share of their spread are the same face."""

_TURNS: tuple[Callable[[Pixels], Pixels], ...] = (
    lambda pixels: pixels,
    lambda pixels: np.asarray(cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE), np.uint8),
    lambda pixels: np.asarray(cv2.rotate(pixels, cv2.ROTATE_180), np.uint8),
    lambda pixels: np.asarray(cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8),
)


_Look = tuple[float, Face]
"""The score of a look, and the face that it found."""


class Settled(NamedTuple):
    """The face of a candidate, None when there is none or its turn is unclear; and whether turns were compared."""

    face: Face | None
    is_compared: bool


class TurnFinder:
    """Examines candidates with close-up runs of the detector itself."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def settle(self, image: ImagePyramid, candidate: Face, *, is_sure: bool, may_be_turned: bool) -> Settled:
        """The face that looks find at the candidate's place, with landmarks that fit its turn.

        When the detector `is_sure`, one look, turned by the candidate's landmarks, may be enough. Otherwise, and if the
        candidate `may_be_turned`, four more looks determine the turn: the look with the best score counts.
        """
        upright = self._upright(image, candidate) if is_sure else None
        if upright is not None and upright[0] >= _UPRIGHT_THRESHOLD:
            return Settled(upright[1], is_compared=False)
        if not may_be_turned:
            return Settled(None, is_compared=False)
        turned = self._turned(image, candidate)
        looks = [look for look in (upright, turned) if look is not None and look[0] >= _TURNED_THRESHOLD]
        best = max(looks, key=lambda look: look[0], default=None)
        return Settled(None if best is None else best[1], is_compared=True)

    def _upright(self, image: ImagePyramid, candidate: Face) -> _Look | None:
        """One look at the face, turned by its landmarks; box and score remain those of the candidate."""
        transform = similarity(candidate.landmarks, _FACE_SIDE)
        if transform is None:
            return None
        transform[:, 2] += (_SIDE - _FACE_SIDE) / 2
        found = self._detector.best(image.warp(transform, _SIDE))
        if not _is_in_the_middle(found):
            return None
        (a, _, dx), (b, _, dy) = transform.tolist()
        back = [(complex(x, y) - complex(dx, dy)) / complex(a, b) for x, y in found.points]
        return found.score, replace(candidate, landmarks=tuple((point.real, point.imag) for point in back))

    def _turned(self, image: ImagePyramid, candidate: Face) -> _Look | None:
        """The best of four looks at the square around the box: unturned, and turned by 90, 180 and 270°."""
        box = candidate.bbox
        scale = _FACE_SIDE / max(box.x2 - box.x1, box.y2 - box.y1)
        left, top = (box.x1 + box.x2 - _SIDE / scale) / 2, (box.y1 + box.y2 - _SIDE / scale) / 2
        square = image.warp(np.array([[scale, 0, -left * scale], [0, scale, -top * scale]]), _SIDE)
        looks = [self._detector.best(turn(square)) for turn in _TURNS]
        turn = max(range(len(looks)), key=lambda number: looks[number].score)
        found = looks[turn]
        if not _is_in_the_middle(found):
            return None
        x1, y1, x2, y2 = found.box
        (xa, ya), (xb, yb), *points = (
            (left + x / scale, top + y / scale)
            for x, y in (_turned_back(point, turn) for point in ((x1, y1), (x2, y2), *found.points))
        )
        corners = (min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))
        box = BoundingBox.clipped(corners, image.width, image.height)
        return found.score, Face(box, min(found.score, 1.0), tuple(points))


def detect_turned(pixels: Pixels, turn: int, detect: Callable[[Pixels], Candidates]) -> Candidates:
    """What `detect` finds in the image turned by `turn` times 90° clockwise, in pixels of the unturned image."""
    found = detect(_TURNS[turn](pixels))
    for back in reversed(range(turn)):
        found = _turned_candidates_back(found, height=pixels.shape[back % 2])
    return found


def next_turn(searched: Collection[int], faces: Iterable[Face]) -> int | None:
    """The multiple of 90° clockwise by which to turn a photo for the next detection; None when none is needed.

    `searched`: the turns at which `faces` were found. A detector trained on upright faces also finds some faces that
    are sideways or upside down. So the unturned photo comes first, and a photo turned by 90° when that shows no face.
    Every face found tells how to turn the photo so that similar faces are found well: an upright photo needs no second
    detection.
    """
    needed = {turn_of(face) for face in faces} or {0, 1}
    return min(needed.difference(searched), default=None)


def turn_of(face: Face) -> int:
    """The multiple of 90° clockwise by which to turn the photo so that the face is upright: 0 to 3."""
    upright = similarity(face.landmarks)
    if upright is None:
        return 0
    return round(math.atan2(upright[1, 0], upright[0, 0]) / (math.pi / 2)) % len(_TURNS)


def once_each(faces: Iterable[Face]) -> list[Face]:
    """Best score first; of faces with the same landmarks only the first, because two candidates may give one face.

    Boxes do not identify a face: two boxes of one face can overlap less than the boxes of two people.
    """
    ordered = sorted(faces, key=lambda face: (-face.score, face.bbox.as_list()))
    if len(ordered) <= 1:
        return ordered
    points = np.array([face.landmarks for face in ordered]).reshape(-1, 5, 2)
    spreads = np.sqrt(points.var(axis=1).sum(axis=1))
    kept: list[int] = []
    for number, spread in enumerate(spreads):
        apart = np.linalg.norm(points[kept] - points[number], axis=2).mean(axis=1)
        if (apart >= _SAME_FACE * spread).all():
            kept.append(number)
    return [ordered[number] for number in kept]


def _turned_back(point: tuple[float, float], turn: int) -> tuple[float, float]:
    """Convert a point of a square that was turned `turn` times by 90° clockwise to the unturned square."""
    x, y = point
    for _ in range(turn):
        x, y = y, _SIDE - 1 - x
    return x, y


def _turned_candidates_back(found: Candidates, height: int) -> Candidates:
    """Candidates of an image that was turned by 90° clockwise and was `height` pixels high before."""
    x1, y1, x2, y2 = found.boxes.T
    boxes = np.stack([y1, height - x2, y2, height - x1], axis=1)
    points = np.stack([found.points[..., 1], height - 1 - found.points[..., 0]], axis=-1)
    return Candidates(boxes, found.scores, points)


def _is_in_the_middle(found: SurestFace) -> bool:
    numbers = [complex(x, y) for x, y in (*found.points, found.box[:2], found.box[2:])]
    return all(map(cmath.isfinite, numbers)) and math.dist(found.centre, (_SIDE / 2, _SIDE / 2)) <= _FARTHEST
