"""Refines the five landmarks of a face: detects them repeatedly in an upright crop, until they no longer move.

A detector's landmarks are tilted with the head and depend on the position of its grid: the same face in another file is
aligned differently, and its embedding changes. MTCNN's O-Net gets a face of 48 × 48 pixels that is turned upright by
the previous landmarks; its result hardly depends on where the first landmarks were. One run of O-Net over a face is a
look. The result is the mean of all looks except the first, whose crop is still tilted; the probability of the last look
says whether there is a face. A face that still moves gets a few additional looks.
docs/face-packs.md has the measured effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bentos.domain.faces import Landmarks
from bentos.pipeline.alignment import similarity
from bentos.pipeline.pyramid import ImagePyramid, Pixels

_SIDE = 48
"""Side of the model's input, pixels."""

_MAGNIFIED = 1.2
"""How much larger a face is in the model's input than in ArcFace's template: MTCNN was trained on tighter boxes."""

_RAISED = 0.07
"""How much higher the template lies in the model's input, as a share of the side."""

_MORE_LOOKS = 3
"""Additional looks at a face that still moves, for example one that was tilted by 40° when it was detected."""

_AT_REST = 0.1
"""A face no longer moves when a look changes its landmarks by less than this share of their spread."""

_STEADY = (math.inf, 0.15, 0.08)
"""How far each look may move the landmarks of a face that is steady, as a share of their spread.

Of 598 detections of upright selfies 93 % are steady and score 0.85. Of 815 detections of faces that lay on their side
or upside down, with landmarks as if they were upright, none is; one would be, if these shares were half as large again.
"""

_TEMPLATE_SIDE = _SIDE * _MAGNIFIED
_SHIFT = ((_SIDE - _TEMPLATE_SIDE) / 2, (_SIDE - _TEMPLATE_SIDE) / 2 - _RAISED * _SIDE)


LandmarkModel = Callable[[Sequence[Pixels]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""O-Net: for n faces, each (48, 48, 3) uint8 BGR, the probabilities, (n,), and the landmarks, (n, 5, 2), as shares of
the side."""


@dataclass(frozen=True, slots=True)
class RefinedFace:
    """Landmarks in pixels of the photo, and the probability, 0..1, that there is a face.

    `is_steady`: the looks agree about the place of the landmarks and about the face: `least_probability` is the lowest
    probability of all looks. A face whose turn was mistaken is not steady.
    """

    landmarks: Landmarks
    probability: float
    least_probability: float = 1.0
    is_steady: bool = False


class LandmarkRefiner:
    """Runs O-Net over faces. `looks` 0 leaves landmarks as they are, with probability 1."""

    def __init__(self, model: LandmarkModel, *, looks: int) -> None:
        self._model, self._looks = model, looks

    def refine(self, faces: Sequence[tuple[ImagePyramid, Landmarks]]) -> list[RefinedFace | None]:
        """The landmarks of each face in its image after all looks, in the order of `faces`.

        None where the landmarks are degenerate, before a look or after one (see `alignment.similarity`). Each look is
        one run of the model over all faces.
        """
        seen = [[points] for _, points in faces]
        probabilities, least = [1.0] * len(seen), [1.0] * len(seen)
        for look in range(self._looks + _MORE_LOOKS if self._looks else 0):
            uprights = {
                number: _to_upright(points[-1])
                for number, points in enumerate(seen)
                if look < self._looks or _has_moved(points)
            }
            known = {number: upright for number, upright in uprights.items() if upright is not None}
            if not known:
                break
            looks = self._look([(faces[number][0], upright) for number, upright in known.items()])
            for number, (probability, points) in zip(known, looks, strict=True):
                # Additional looks may not confirm a face that the regular looks did not: on a wheel they drift to 0.9.
                is_further = look >= self._looks
                probabilities[number] = min(probabilities[number], probability) if is_further else probability
                least[number] = min(least[number], probability)
                seen[number].append(points)
        return [
            # The crop of the first look is still tilted, so the mean leaves it out.
            RefinedFace(_mean(points[-max(1, self._looks - 1) :]), probability, lowest, _is_steady(points))
            if _is_usable(points[-1])
            else None
            for points, probability, lowest in zip(seen, probabilities, least, strict=True)
        ]

    def _look(
        self, faces: Sequence[tuple[ImagePyramid, NDArray[np.float64]]]
    ) -> list[tuple[float, Landmarks]]:
        """Look once at each face, turned by its transform: the probability, and the landmarks in its image."""
        probabilities, shares = self._model([image.warp(upright, _SIDE) for image, upright in faces])
        return [
            (probability, _back(upright, points))
            for (_, upright), probability, points in zip(
                faces, probabilities.tolist(), shares.tolist(), strict=True
            )
        ]


def _back(upright: NDArray[np.float64], shares: Sequence[Sequence[float]]) -> Landmarks:
    """Convert points, (5, 2), from shares of the model's input to pixels of the photo."""
    # As in `similarity`, rotation and scale are one complex factor; the inverse divides by it.
    (a, _, dx), (b, _, dy) = upright.tolist()
    points = [(complex(x * _SIDE, y * _SIDE) - complex(dx, dy)) / complex(a, b) for x, y in shares]
    return tuple((point.real, point.imag) for point in points)


def _has_moved(seen: Sequence[Landmarks]) -> bool:
    """Whether the last look still moved the landmarks of a face; False when there was no look."""
    return len(seen) > 1 and not _is_at_rest(seen[-2], seen[-1], _AT_REST)


def _is_steady(seen: Sequence[Landmarks]) -> bool:
    """Whether there were as many looks as `_STEADY` has shares, and none moved the landmarks further."""
    moves = zip(seen, seen[1:], _STEADY, strict=False)
    return len(seen) == len(_STEADY) + 1 and all(_is_at_rest(*move) for move in moves)


def _is_at_rest(before: Landmarks, after: Landmarks, share: float) -> bool:
    """Whether the landmarks have moved by at most this share of their spread."""
    last = [complex(x, y) for x, y in after]
    centre = sum(last) / len(last)
    spread = sum(abs(point - centre) for point in last)
    return sum(abs(p - complex(x, y)) for p, (x, y) in zip(last, before, strict=True)) <= share * spread


def _is_usable(landmarks: Landmarks) -> bool:
    return similarity(landmarks) is not None


def _to_upright(landmarks: Landmarks) -> NDArray[np.float64] | None:
    """The transform from the image to the model's input; None when the landmarks are degenerate."""
    transform = similarity(landmarks, _TEMPLATE_SIDE)
    if transform is not None:
        transform[:, 2] += _SHIFT
    return transform


def _mean(seen: Sequence[Landmarks]) -> Landmarks:
    count = len(seen)
    return tuple(
        (sum(x for x, _ in points) / count, sum(y for _, y in points) / count)
        for points in zip(*seen, strict=True)
    )
