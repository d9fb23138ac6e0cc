"""Finds small faces in large photos: a second pass of the detector over more pixels, merged with the first."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

from bentos.pipeline.detector import Candidates
from bentos.pipeline.pyramid import Pixels
from bentos.pipeline.steps import Work

_MULTIPLE = 32
"""The sides of the detector's input are multiples of this number."""

_SHARE = 3 / 4
"""The second pass over a panorama has as many pixels as over a photo of 4 : 3: this share of a square."""

_PANORAMA = 1.5
"""A photo is searched in parts when its longer side then has this many times `large_size` pixels: from 3 : 1 on."""

_LONGEST = 8
"""The longer side of a photo has at most this many times `large_size` pixels then: nine parts, from 85 : 1 on.

Every part costs a GPU as much as a whole photo, however narrow it is.
"""


def detect_in_two_passes(
    detect: Callable[[int], Work[Candidates]],
    without_overlaps: Callable[[Candidates], Candidates],
    *,
    size: int,
    large_size: int,
    longer_side: int,
    shorter_side: int,
) -> Work[Candidates]:
    """The detections at `size` and at the side of the second pass; of two overlapping, the better score.

    The first pass finds large faces, the second small ones. There is no second pass when a photo of these sides would
    have no more pixels in it than in the first, and the second pass never enlarges the photo.
    """
    found = yield from detect(size)
    larger = side_of_input(second_pass_side(large_size, longer_side, shorter_side))
    if larger <= size:
        return found
    return without_overlaps(found.joined((yield from detect(larger))))


def side_of_input(most: int) -> int:
    """The largest side of the detector's input that has at most so many pixels."""
    return most // _MULTIPLE * _MULTIPLE


def second_pass_side(large_size: int, longer_side: int, shorter_side: int) -> int:
    """To how many pixels the second pass brings the longer side of a photo; more than `large_size` for a panorama.

    With a longer side of `large_size`, 20,000 x 400 pixels would become 1920 x 38, and no face would be left.
    """
    wanted = large_size * math.sqrt(_SHARE * longer_side / shorter_side)
    side = min(longer_side, int(wanted), _LONGEST * large_size)
    return side if side >= _PANORAMA * large_size else min(longer_side, large_size)


def detect_in_parts(
    detect: Callable[[Pixels], Work[Candidates]],
    without_overlaps: Callable[[Candidates], Candidates],
    pixels: Pixels,
    part: int,
) -> Work[Candidates]:
    """What `detect` finds in the parts of `pixels`, each `part` pixels of the longer side long.

    Neighbouring parts overlap by at least the shorter side, so that every face is whole in one of them.
    """
    height, width = pixels.shape[:2]
    longer, shorter = max(height, width), min(height, width)
    if part >= longer:
        return (yield from detect(pixels))
    count = math.ceil((longer - shorter) / max(1, part - shorter))
    found = []
    for number in range(count):
        start = (longer - part) * number // (count - 1)
        x, y = (start, 0) if width == longer else (0, start)
        seen = yield from detect(pixels[y : y + part, x : x + part])
        found.append(seen.moved(x, y))
    return without_overlaps(reduce(Candidates.joined, found))
