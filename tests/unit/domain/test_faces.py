"""Tests of bounding boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.domain.faces import BoundingBox, Landmarks, can_be_aligned, left_out, upright_landmarks

corners = st.tuples(*[st.floats(-50, 150)] * 4).map(
    lambda c: BoundingBox(min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)


def test_a_box_is_clipped_to_the_image_and_rounded() -> None:
    assert BoundingBox.clipped((-3.0, 1.26, 200.0, 49.94), 100, 50).as_list() == [0.0, 1.3, 100, 49.9]


def test_iou_is_intersection_over_union() -> None:
    box = BoundingBox(0, 0, 10, 10)
    assert box.iou(box) == 1
    assert box.iou(BoundingBox(10, 0, 20, 10)) == 0
    assert box.iou(BoundingBox(5, 0, 15, 10)) == pytest.approx(1 / 3)


def test_boxes_whose_area_is_too_small_for_a_float_do_not_overlap() -> None:
    tiny = BoundingBox(0, 0, 1e-200, 1e-200)
    assert tiny.iou(tiny) == 0


@given(corners, corners)
def test_iou_is_symmetric_and_between_0_and_1(one: BoundingBox, other: BoundingBox) -> None:
    assert 0 <= one.iou(other) <= 1
    assert one.iou(other) == pytest.approx(other.iou(one))


UPRIGHT = ((10.0, 10.0), (20.0, 10.0), (15.0, 15.0), (11.0, 20.0), (19.0, 20.0))


@pytest.mark.parametrize(
    ("box", "landmarks", "reason"),
    [
        ((0, 0, 24, 30), UPRIGHT, None),
        ((0, 0, 23.9, 30), UPRIGHT, "too_small"),
        ((0, 0, 30, 23.9), UPRIGHT, "too_small"),
        ((0, 0, 30, 30), ((5.0, 5.0),) * 5, "not_alignable"),
        ((0, 0, 30, 30), (*UPRIGHT[:4], (float("nan"), 1.0)), "not_alignable"),
        ((0, 0, 30, 30), (*UPRIGHT[:4], (float("inf"), 1.0)), "not_alignable"),
        ((0, 0, 9, 9), ((5.0, 5.0),) * 5, "too_small"),
    ],
)
def test_a_face_is_left_out_for_its_size_or_its_landmarks(
    box: tuple[float, ...], landmarks: Landmarks, reason: str | None
) -> None:
    assert left_out(BoundingBox(*box), landmarks, min_size=24) == reason


def test_the_usual_landmarks_of_a_box_are_near_those_of_a_detected_face() -> None:
    detected = ((131.2, 142.1), (173.1, 138.9), (153.2, 163.2), (134.0, 175.2), (175.2, 173.6))
    usual = upright_landmarks(BoundingBox(100, 100, 200, 200))
    assert usual == pytest.approx(np.array(detected), abs=10)
    assert not can_be_aligned(upright_landmarks(BoundingBox(5, 5, 5, 5)))
