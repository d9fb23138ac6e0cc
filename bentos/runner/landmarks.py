"""Looks at each face again, upright and at one size, because that is where a detector sees landmarks best.

The first look gives landmarks that lean with the head: the same face turned by a few degrees, or seen at another
detection size, is then aligned differently, and its embedding moves. Each further look warps the face to where the
landmarks of the last one say upright is, and detects again there; the mean of all further looks but the first, which
still starts from a lean, is what counts. Measured with `yunet-mbf` on eight real people and 128 altered selfies
(rotation, scale, crop), cosine to the indexed face, and to the same photo at other sizes:

    further looks    mean    5th percentile    least    other sizes, least
    none             0.82         0.46          0.35          0.81
    1                0.89         0.65          0.56          0.92
    3                0.94         0.81          0.71          0.96
    4                0.95         0.86          0.78          0.97

The most similar stranger stays at 0.44. What the first further look does not find again is no face: it told a saucer
(score 0.54) from 384 of 384 real faces, down to a width of 8 pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bentos.common.faces import Landmarks
from bentos.runner.alignment import similarity

_SIZE = 160
"""Side of the detector's input for a further look, pixels."""

_SHARE = 0.62
"""How much of it ArcFace's template takes: a face with some of its surroundings, as the detector was trained."""

_FARTHEST = _SIZE / 4
"""A detection whose centre lies farther from the middle, pixels, is another face."""

_STRIDES = (8, 16, 32)
_ANCHORS = 2


class CloserLook:
    """The detector of a pack, used on one upright face at a time.

    `detector`: InsightFace's, in the SCRFD layout with nine outputs (scores, box distances and landmark offsets at
    strides 8, 16 and 32, two anchors a cell, in units of the stride). Only the best anchor matters here, so that its
    outputs are read directly: a quarter of the time of a detection with boxes and non-maximum suppression.
    """

    def __init__(self, detector: Any, *, threshold: float, looks: int) -> None:
        self._session = detector.session
        self._input = detector.input_name
        self._outputs = detector.output_names
        self._mean, self._std = detector.input_mean, detector.input_std
        self._threshold, self._looks = threshold, looks
        self._centres, self._scales = _anchors()

    def again(self, pixels: NDArray[np.uint8], landmarks: Landmarks) -> Landmarks | None:
        """The landmarks after all further looks; None when the first of them finds no face there.

        `pixels`: (h, w, 3) uint8 BGR; `landmarks`: pixels of the same image.
        """
        seen: list[NDArray[np.float64]] = []
        current = landmarks
        for _ in range(self._looks):
            points = self._look(pixels, current)
            if points is None:
                break
            seen.append(points)
            current = _as_landmarks(points)
        if not seen:
            return None if self._looks else landmarks
        return _as_landmarks(np.mean(seen[1:] or seen, axis=0))

    def _look(self, pixels: NDArray[np.uint8], landmarks: Landmarks) -> NDArray[np.float64] | None:
        template = round(_SIZE * _SHARE)
        upright = similarity(landmarks, template)
        if upright is None:
            return None
        upright[:, 2] += (_SIZE - template) / 2
        points = self._best(np.asarray(cv2.warpAffine(pixels, upright, (_SIZE, _SIZE)), dtype=np.uint8))
        if points is None:
            return None
        back = cv2.invertAffineTransform(upright)
        return np.asarray(points @ back[:, :2].T + back[:, 2], dtype=np.float64)

    def _best(self, face: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        blob = cv2.dnn.blobFromImage(
            face, 1.0 / self._std, (_SIZE, _SIZE), (self._mean, self._mean, self._mean), swapRB=True
        )
        outputs = self._session.run(self._outputs, {self._input: blob})
        scores = np.concatenate([scores.ravel() for scores in outputs[:3]])
        best = int(scores.argmax())
        if scores[best] < self._threshold:
            return None
        centre, scale = self._centres[best], self._scales[best]
        left, top, right, bottom = _row(outputs[3:6], best, 4) * scale
        middle = centre + np.array([right - left, bottom - top]) / 2
        points = centre + _row(outputs[6:9], best, 10).reshape(5, 2) * scale
        if not np.isfinite(points).all() or np.linalg.norm(middle - _SIZE / 2) > _FARTHEST:
            return None
        return np.asarray(points, dtype=np.float64)


def _anchors() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centre (n, 2) and the stride (n,) of every anchor, in the order of the outputs."""
    centres, scales = [], []
    for stride in _STRIDES:
        rows, columns = np.mgrid[: _SIZE // stride, : _SIZE // stride]
        cells = np.stack([columns, rows], axis=-1).reshape(-1, 2) * stride
        centres.append(np.repeat(cells, _ANCHORS, axis=0))
        scales.append(np.full(len(cells) * _ANCHORS, stride))
    return np.concatenate(centres).astype(np.float64), np.concatenate(scales).astype(np.float64)


def _row(outputs: list[NDArray[np.float32]], index: int, width: int) -> NDArray[np.float32]:
    """Row `index` of what the three strides give, as if it were one table."""
    for output in outputs:
        table = output.reshape(-1, width)
        if index < len(table):
            return np.asarray(table[index])
        index -= len(table)
    raise IndexError(index)


def _as_landmarks(points: NDArray[np.float64]) -> Landmarks:
    return tuple((float(x), float(y)) for x, y in points)
