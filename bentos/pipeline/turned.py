"""Determines which candidates of the detector are faces and which way up they are, by close-up detections.

A detector is less sure of a turned face, and gives landmarks for an upside-down face as if it were upright. No single
number distinguishes the two; running the detector on the face in all four turns does. One run of the detector on a
square around one face is a look. docs/face-packs.md has the measured effect.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from bentos.domain.faces import BoundingBox, Face
from bentos.pipeline.alignment import similarity
from bentos.pipeline.detector import Candidates, SurestFace
from bentos.pipeline.pyramid import ImagePyramid, Pixels
from bentos.pipeline.steps import Work, look

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


ALL_TURNS = frozenset(range(len(_TURNS)))
"""Every multiple of 90° by which a photo can be turned."""

_Look = tuple[float, Face]
"""The score of a look, and the face that it found."""


def settle(
    image: ImagePyramid, candidates: Sequence[Face], is_sure: Callable[[Face], bool], most_turned: int
) -> Work[list[Face | None]]:
    """For each candidate the face that looks find at its place, with landmarks that fit its turn; None for none.

    When the detector `is_sure`, one look, turned by the candidate's landmarks, may be enough. Otherwise four more looks
    determine the turn, but only for the first `most_turned` such candidates: the look with the best score counts.
    """
    upright = yield from _upright(image, {n: face for n, face in enumerate(candidates) if is_sure(face)})
    unclear = [
        number
        for number in range(len(candidates))
        if not (number in upright and upright[number][0] >= _UPRIGHT_THRESHOLD)
    ][:most_turned]
    turned = yield from _turned(image, {number: candidates[number] for number in unclear})
    settled: list[Face | None] = []
    for number in range(len(candidates)):
        least = _TURNED_THRESHOLD if number in unclear else _UPRIGHT_THRESHOLD
        seen = [looks[number] for looks in (upright, turned) if number in looks]
        best = max((each for each in seen if each[0] >= least), key=lambda each: each[0], default=None)
        settled.append(None if best is None else best[1])
    return settled


def _upright(image: ImagePyramid, candidates: Mapping[int, Face]) -> Work[dict[int, _Look]]:
    """One look at each face, turned by its landmarks; box and score remain those of the candidate."""
    transforms = {}
    for number, candidate in candidates.items():
        transform = similarity(candidate.landmarks, _FACE_SIDE)
        if transform is not None:
            transform[:, 2] += (_SIDE - _FACE_SIDE) / 2
            transforms[number] = transform
    squares = [image.warp(transform, _SIDE) for transform in transforms.values()]
    seen: dict[int, _Look] = {}
    for (number, transform), found in zip(transforms.items(), (yield from look(image, squares)), strict=True):
        if _is_in_the_middle(found):
            (a, _, dx), (b, _, dy) = transform.tolist()
            back = [(complex(x, y) - complex(dx, dy)) / complex(a, b) for x, y in found.points]
            points = tuple((point.real, point.imag) for point in back)
            seen[number] = found.score, replace(candidates[number], landmarks=points)
    return seen


def _turned(image: ImagePyramid, candidates: Mapping[int, Face]) -> Work[dict[int, _Look]]:
    """The best of four looks at the square around each box: unturned, and turned by 90, 180 and 270°."""
    squares = [_square(image, candidate) for candidate in candidates.values()]
    looks = yield from look(image, [turn(square.pixels) for square in squares for turn in _TURNS])
    seen: dict[int, _Look] = {}
    for place, (number, square) in enumerate(zip(candidates, squares, strict=True)):
        turns = looks[place * len(_TURNS) : (place + 1) * len(_TURNS)]
        turn = max(range(len(turns)), key=lambda each: turns[each].score)
        found = turns[turn]
        if _is_in_the_middle(found):
            seen[number] = found.score, square.face(found, turn, image)
    return seen


class _Square(NamedTuple):
    """The square around a candidate's box, scaled to the detector's input; its place in the photo."""

    pixels: Pixels
    left: float
    top: float
    scale: float

    def face(self, found: SurestFace, turn: int, image: ImagePyramid) -> Face:
        """The face found in the square turned by `turn` times 90° clockwise, in pixels of the photo."""
        x1, y1, x2, y2 = found.box
        (xa, ya), (xb, yb), *points = (
            (self.left + x / self.scale, self.top + y / self.scale)
            for x, y in (_turned_back(point, turn) for point in ((x1, y1), (x2, y2), *found.points))
        )
        corners = (min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))
        box = BoundingBox.clipped(corners, image.width, image.height)
        return Face(box, min(found.score, 1.0), tuple(points))


def _square(image: ImagePyramid, candidate: Face) -> _Square:
    box = candidate.bbox
    scale = _FACE_SIDE / max(box.x2 - box.x1, box.y2 - box.y1)
    left, top = (box.x1 + box.x2 - _SIDE / scale) / 2, (box.y1 + box.y2 - _SIDE / scale) / 2
    pixels = image.warp(np.array([[scale, 0, -left * scale], [0, scale, -top * scale]]), _SIDE)
    return _Square(pixels, left, top, scale)


def detect_turned(
    pixels: Pixels, turn: int, detect: Callable[[Pixels], Work[Candidates]]
) -> Work[Candidates]:
    """What `detect` finds in the image turned by `turn` times 90° clockwise, in pixels of the unturned image."""
    found = yield from detect(_TURNS[turn](pixels))
    for back in reversed(range(turn)):
        found = _turned_candidates_back(found, height=pixels.shape[back % 2])
    return found


def next_turn(searched: Collection[int], faces: Iterable[Face]) -> int | None:
    """The multiple of 90° clockwise by which to turn a photo for the next detection; None when none is needed.

    `searched`: the turns at which `faces` were found.

    A detector trained on upright faces also finds some large faces that are sideways or upside down, and hardly any
    small ones. Every face found tells how to turn the photo so that similar faces are found well: an upright photo
    needs no second detection. While there is no face, every turn is searched.
    """
    needed = {turn_of(face) for face in faces} or ALL_TURNS
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
