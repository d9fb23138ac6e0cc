"""Aligns a face for the recogniser: maps its five landmarks to the positions that ArcFace was trained with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bentos.domain.faces import Landmarks, can_be_aligned
from bentos.pipeline.pyramid import BLACK, ImagePyramid, Pixels

# Where the two eyes, the nose and the corners of the mouth lie in a 112 × 112 crop: the template of ArcFace
# (Deng et al. 2019, arXiv:1801.07698), the same numbers as `insightface.utils.face_align.arcface_dst`.
_TEMPLATE = (
    38.2946 + 51.6963j,
    73.5318 + 51.5014j,
    56.0252 + 71.7366j,
    41.5493 + 92.3655j,
    70.7299 + 92.2041j,
)
_TEMPLATE_CENTRE = sum(_TEMPLATE) / len(_TEMPLATE)
_TEMPLATE_SIZE = 112


def similarity(landmarks: Landmarks, size: float = _TEMPLATE_SIZE) -> NDArray[np.float64] | None:
    """The similarity transform that brings `landmarks` closest to the template, least squares.

    The points are complex numbers: a rotation with scaling is one complex factor, and the best factor is
    `sum(conj(p) * q) / sum(|p|^2)` over centred points (the reflection-free case of Umeyama 1991, eq. 40-42).

    Returns: (2, 3) float64, or None when the landmarks are degenerate (see `can_be_aligned`).
    """
    if not can_be_aligned(landmarks):
        return None
    points = [complex(x, y) for x, y in landmarks]
    enlarged = size / _TEMPLATE_SIZE
    centre = sum(points) / len(points)
    spread = sum(abs(p - centre) ** 2 for p in points)
    pairs = zip(points, _TEMPLATE, strict=True)
    factor = enlarged / spread * sum((p - centre).conjugate() * (q - _TEMPLATE_CENTRE) for p, q in pairs)
    shift = enlarged * _TEMPLATE_CENTRE - factor * centre
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def magnification(landmarks: Landmarks) -> float:
    """How many pixels of the 112 × 112 crop a pixel of the image becomes; 0 where the landmarks are degenerate."""
    transform = similarity(landmarks)
    return 0.0 if transform is None else float(np.hypot(transform[0, 0], transform[1, 0]))


def align(image: ImagePyramid, landmarks: Landmarks, size: int = _TEMPLATE_SIZE) -> Pixels | None:
    """The aligned face for the recogniser: (size, size, 3) uint8 with the same channel order as `image`.

    None when the landmarks are degenerate (see `similarity`). As in InsightFace, pixels from outside the image are
    black.
    """
    transform = similarity(landmarks, size)
    if transform is None:
        return None
    return image.warp(transform, size, outside=BLACK)
