"""The few shapes of the detector's input. An image goes into the smallest one that holds it, filled up with black."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

_MULTIPLE = 32
"""The largest stride of the detector divides both sides of a canvas."""

_SHAPES = ((3, 4), (4, 3), (4, 4))
"""Height and width in quarters of the longer side: photos are 3 : 4, 2 : 3 or 16 : 9."""

_LARGE_STEPS = (1 / 2, 2 / 3, 1)
"""The longer sides of canvases for the second pass over large photos, as shares of the longest."""


class Canvas(NamedTuple):
    """The shape of an input, pixels."""

    height: int
    width: int


def canvases(side: int) -> list[Canvas]:
    """The canvases whose longer side is `side`, a multiple of 32; smallest first."""
    quarters = [(_filled_up(side * h / 4), _filled_up(side * w / 4)) for h, w in _SHAPES]
    return _by_area(Canvas(h, w) for h, w in quarters)


def large_canvases(side: int, large_side: int) -> list[Canvas]:
    """The canvases for longer sides above `side`, up to `large_side`; smallest first."""
    longer = sorted({_filled_up(large_side * step) for step in _LARGE_STEPS})
    return _by_area(canvas for each in longer if each > side for canvas in canvases(each))


def canvas_for(height: int, width: int, available: Sequence[Canvas]) -> Canvas:
    """The first of `available`, smallest first, that holds an image of this size. Raises `ValueError` if none does."""
    for canvas in available:
        if height <= canvas.height and width <= canvas.width:
            return canvas
    raise ValueError(f"no canvas holds an image of {width} x {height} pixels")


def _by_area(found: Iterable[Canvas]) -> list[Canvas]:
    return sorted(set(found), key=lambda canvas: (canvas.height * canvas.width, canvas))


def _filled_up(side: float) -> int:
    return -(-int(side) // _MULTIPLE) * _MULTIPLE
