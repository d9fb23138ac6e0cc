"""Makes photos of crowds from faces in installed packages."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from seed.shipped_faces import FACES, ShippedFace, pixels_of

_MARGIN = 0.3
"""Margin around the box of a face, as a share of its height."""


def crowd(columns: int, rows: int, *, cell: int, quality: int = 90) -> bytes:
    """A JPEG with `columns` × `rows` faces, each in a square of `cell` pixels and with a different brightness."""
    rng = np.random.default_rng(0)
    tiles = [_tile(face, cell) for face in FACES]
    canvas = np.empty((rows * cell, columns * cell, 3), np.uint8)
    for number in range(columns * rows):
        y, x = divmod(number, columns)
        tile = tiles[number % len(tiles)].astype(np.float32) * rng.uniform(0.8, 1.15)
        canvas[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] = tile.clip(0, 255)
    done, encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return encoded.tobytes()


def _tile(face: ShippedFace, cell: int) -> NDArray[np.uint8]:
    box, pixels = face.bbox, pixels_of(face.photo)
    half = (box.y2 - box.y1) * (0.5 + _MARGIN)
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    around = np.float32([[x - half, y - half], [x + half, y - half], [x - half, y + half]])
    transform = cv2.getAffineTransform(around, np.float32([[0, 0], [cell, 0], [0, cell]]))
    return np.asarray(
        cv2.warpAffine(pixels, transform, (cell, cell), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    )
