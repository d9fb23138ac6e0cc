"""Decodes images for the tests of this folder, with large limits, and provides one small photo."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from bentos.imaging.decoding import DecodedImage, decode
from tests.unit.imaging.image_kinds import photo

ENOUGH = 50_000_000
SAVED_AS: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"quality": 95}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
}


@cache
def small() -> Image.Image:
    """The photo, 160 x 111."""
    return photo().resize((160, 111))


@cache
def quarter() -> Image.Image:
    """The photo, 320 x 222."""
    return photo().resize((320, 222))


def read(image: bytes, **options: float) -> DecodedImage:
    return decode(image, **({"max_pixels": ENOUGH} | options))  # type: ignore[arg-type]


def is_upright(decoded: DecodedImage) -> bool:
    """Whether the decoded pixels, width and height are those of `quarter`: a JPEG of it differs by three levels."""
    same_size = (decoded.width, decoded.height) == quarter().size
    upright = np.asarray(quarter(), np.int16)[..., ::-1]
    return same_size and bool(np.abs(decoded.pixels - upright).mean() < 4)
