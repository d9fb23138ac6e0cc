"""Finds small faces in large photos: a second pass of the detector over more pixels, merged with the first."""

from __future__ import annotations

from collections.abc import Callable

from bentos.pipeline.detector import Candidates
from bentos.pipeline.steps import Work

_MULTIPLE = 32
"""The sides of the detector's input are multiples of this number."""


def detect_in_two_passes(
    detect: Callable[[int], Work[Candidates]],
    without_overlaps: Callable[[Candidates], Candidates],
    *,
    size: int,
    large_size: int,
    longer_side: int,
) -> Work[Candidates]:
    """The detections at `size` and at `large_size`, the longer side of the input; of two overlapping, the better score.

    The first pass finds large faces, the second small ones. There is no second pass when a photo of this `longer_side`
    would have no more pixels in it than in the first, and the second pass never enlarges the photo.
    """
    found = yield from detect(size)
    larger = min(large_size, longer_side) // _MULTIPLE * _MULTIPLE
    if larger <= size:
        return found
    return without_overlaps(found.joined((yield from detect(larger))))
