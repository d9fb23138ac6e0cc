"""A decoded image and its area-averaged reductions, from which faces are cut without aliasing."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from bentos.imaging.decoding import DecodedImage

Pixels = NDArray[np.uint8]
"""(h, w, 3) uint8, BGR."""

BLACK, GREY = 0, 127
"""What a warp may show outside of the photo, a value for all channels.

Beside black, networks see an edge where the photo ends and miss faces that the edge cuts. Normalised grey is nearly
zero, as are the values that their convolutions assume beyond the border of the input.
"""


class ImagePyramid:
    """A decoded image and its repeated halvings, made when a warp needs them.

    Coordinates refer to the upright photo at full scale, even when the decoder has reduced it.

    A bilinear warp reads four pixels for each output pixel: where it shrinks by more than two it skips pixels, and the
    same face at another scale gives a different crop. Each level holds the exact means of 2 × 2 pixels of the level
    above, so that the same pixels give the same means wherever the detector found the face.
    """

    def __init__(self, image: DecodedImage) -> None:
        self.width, self.height = image.width, image.height
        self.scale, self.largest_scale = image.scale, image.largest_scale
        self._levels = [image.pixels]

    @property
    def pixels(self) -> Pixels:
        """The image as it was decoded."""
        return self._levels[0]

    def reduced(self, longer_side: int) -> tuple[Pixels, float]:
        """The smallest level whose longer side has at least this many pixels, and its scale relative to the photo."""
        level = self._level_for(longer_side / max(self.pixels.shape[:2]))
        return self._levels[level], self.scale / 2.0**level

    def warp(self, transform: NDArray[np.float64], size: int, *, outside: int = GREY) -> Pixels:
        """(size, size, 3) uint8: the photo under `transform`, (2, 3), which maps its pixels to those of the result.

        Pixels from outside the photo have the value `outside`.
        """
        magnification = math.hypot(transform[0, 0], transform[1, 0]) / self.scale
        level = self._level_for(magnification)
        # Pixel centres have integer coordinates: x of the image is (x + 0.5) / reduction - 0.5 in the level.
        reduction = 2.0**level
        adapted = transform.copy()
        adapted[:, :2] *= reduction / self.scale
        adapted[:, 2] += transform[:, :2].sum(axis=1) / self.scale * (reduction - 1) / 2
        return np.asarray(
            cv2.warpAffine(self._levels[level], adapted, (size, size), borderValue=(outside,) * 3),
            dtype=np.uint8,
        )

    def _level_for(self, magnification: float) -> int:
        """The first level that has to be shrunk by less than two; the smallest level when none does."""
        wanted = max(0, math.floor(-math.log2(max(magnification, 2.0**-30))))
        while len(self._levels) <= wanted and min(self._levels[-1].shape[:2]) > 1:
            self._levels.append(_halved(self._levels[-1]))
        return min(wanted, len(self._levels) - 1)


def _halved(pixels: Pixels) -> Pixels:
    """The means of 2 × 2 pixels; an odd last row or column is left out."""
    rows, columns = (side // 2 for side in pixels.shape[:2])
    even = pixels[: 2 * rows, : 2 * columns]
    return np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
