"""Finds small faces in large photos: a second pass of the detector over more pixels, merged with the first."""

from __future__ import annotations

from collections.abc import Callable

from bentos.pipeline.detector import Candidates, Detector

_MULTIPLE = 32
"""What the sides of the detector's input are multiples of."""


def detect_in_two_passes(
    detect: Callable[[int], Candidates], detector: Detector, *, size: int, large_size: int, longer_side: int
) -> Candidates:
    """What `detect` finds at `size` and again at `large_size`, the longer side of its input; of two the surer counts.

    The first pass finds large faces, the second small ones. There is no second pass over a photo whose `longer_side`
    gives it no more pixels than the first, and the second never enlarges the photo.
    """
    found = detect(size)
    larger = min(large_size, longer_side) // _MULTIPLE * _MULTIPLE
    return found if larger <= size else detector.without_overlaps(found.joined(detect(larger)))
