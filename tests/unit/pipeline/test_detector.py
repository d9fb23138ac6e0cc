"""Compares the detector with InsightFace's decoding of the same model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.app import FaceAnalysis

from bentos.demo import photos
from bentos.pipeline.detector import Detector


@pytest.mark.parametrize("size", [320, 640])
@pytest.mark.parametrize(
    "photo", [photos.group_photo(), photos.astronaut(), photos.portrait(), photos.coffee_cup()]
)
def test_the_detector_finds_the_same_faces_as_insightface(pack_folder: Path, photo: Path, size: int) -> None:
    analysis = FaceAnalysis(name=str(pack_folder), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=0, det_thresh=0.5, det_size=(size, size))
    pixels = cv2.imread(str(photo))
    boxes, points = analysis.det_model.detect(pixels)
    ours = Detector(analysis.det_model, threshold=0.5, always_square=True).detect(pixels, size)
    assert len(ours) == len(boxes)
    np.testing.assert_allclose(ours.scores, boxes[:, 4], atol=1e-5)
    # InsightFace derives the scale from the shorter side, rounded down to whole pixels: off by up to 1 in `size`.
    np.testing.assert_allclose(ours.boxes, boxes[:, :4], atol=0.6, rtol=0.005)
    np.testing.assert_allclose(ours.points, points, atol=0.6, rtol=0.005)


@pytest.mark.parametrize("photo", [photos.group_photo(), photos.astronaut(), photos.portrait()])
def test_the_detector_finds_the_same_faces_without_black_padding(pack_folder: Path, photo: Path) -> None:
    analysis = FaceAnalysis(name=str(pack_folder), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=0, det_thresh=0.5, det_size=(640, 640))
    pixels = cv2.imread(str(photo))
    square = Detector(analysis.det_model, threshold=0.5, always_square=True).detect(pixels, 640)
    rectangular = Detector(analysis.det_model, threshold=0.5).detect(pixels, 640)
    assert len(rectangular) == len(square)
    np.testing.assert_allclose(rectangular.scores, square.scores, atol=0.02)
    order = np.argsort(square.boxes[:, 0]), np.argsort(rectangular.boxes[:, 0])
    side = square.boxes[:, 2].max() - square.boxes[:, 0].min()
    np.testing.assert_allclose(rectangular.boxes[order[1]], square.boxes[order[0]], atol=0.05 * side)


def test_a_detector_of_another_layout_is_refused() -> None:
    class Other:
        output_names = ("a", "b")

    with pytest.raises(ValueError, match="outputs"):
        Detector(Other(), threshold=0.5)
