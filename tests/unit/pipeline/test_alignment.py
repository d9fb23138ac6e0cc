"""Compares the alignment with InsightFace's."""

from __future__ import annotations

import numpy as np
import pytest
from insightface.utils import face_align

from bentos.domain.faces import Landmarks
from bentos.pipeline.alignment import align, similarity
from tests.unit.pipeline.shown import shown

RIGHTLY = pytest.mark.filterwarnings(
    "ignore::FutureWarning"
)  # InsightFace calls deprecated functions of scikit-image


def _landmarks(seed: int) -> Landmarks:
    random = np.random.default_rng(seed)
    angle, size = random.uniform(-0.6, 0.6), random.uniform(0.2, 6)
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = face_align.arcface_dst @ turn.T + random.uniform(0, 300, 2) + random.normal(0, 2, (5, 2))
    return tuple((float(x), float(y)) for x, y in points)


@RIGHTLY
@pytest.mark.parametrize("seed", range(20))
def test_the_transform_equals_that_of_insightface(seed: int) -> None:
    landmarks = _landmarks(seed)
    expected = face_align.estimate_norm(np.array(landmarks), 112)
    np.testing.assert_allclose(similarity(landmarks), expected, atol=1e-4)


@RIGHTLY
def test_the_crop_of_a_face_that_is_not_reduced_by_half_equals_that_of_insightface() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    landmarks = tuple((1.6 * x + 100, 1.6 * y + 80) for x, y in face_align.arcface_dst.tolist())
    expected = face_align.norm_crop(pixels, np.array(landmarks))
    got = align(shown(pixels), landmarks)
    assert got is not None
    assert got.shape == (112, 112, 3)
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "landmarks",
    [
        ((5.0, 5.0),) * 5,
        ((float("nan"), 1.0),) * 5,
        ((0.0, 0.0), (1.0, 1.0), (float("inf"), 2.0), (3.0, 1.0), (4.0, 4.0)),
    ],
)
def test_degenerate_landmarks_give_no_transform(landmarks: Landmarks) -> None:
    assert similarity(landmarks) is None
    assert align(shown(np.zeros((10, 10, 3), np.uint8)), landmarks) is None
