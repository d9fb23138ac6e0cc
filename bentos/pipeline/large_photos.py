"""Finds small faces in large photos: a second pass of the detector over more pixels, merged with the first."""

from __future__ import annotations

from bentos.pipeline.detector import Candidates, Detector
from bentos.pipeline.pyramid import Pixels


def detect_in_two_passes(detector: Detector, pixels: Pixels, size: int, large_size: int) -> Candidates:
    """The faces of a photo seen at `size` and again at `large_size` (longer side, pixels); of two the surer counts.

    The first pass finds large faces, the second small ones. There is no second pass when the photo has no more
    pixels than the first one sees; it never enlarges the photo.
    """
    found = detector.detect(pixels, size)
    larger = min(large_size, max(pixels.shape[:2]))
    if larger <= size:
        return found
    return detector.without_overlaps(found.joined(detector.detect(pixels, larger, square=False)))
