"""Provides eight real faces and a few backgrounds from installed packages, for made images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bentos.demo import photos
from bentos.domain.faces import BoundingBox

Pixels = NDArray[np.uint8]
"""(h, w, 3) uint8, BGR."""

_BACKGROUNDS = (
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
)
"""Files of scikit-image's `data` folder without people."""


@dataclass(frozen=True, slots=True)
class ShippedFace:
    """One person: a photo and the box of the face in it."""

    person: str
    photo: Path
    bbox: BoundingBox


_GROUP_BOXES = (
    (750.5, 346.3, 845.1, 472.1),
    (462.3, 265.7, 576.3, 416.8),
    (1132.2, 274.2, 1227.5, 398.7),
    (899.2, 57.4, 1005.3, 197.3),
    (270.8, 146.6, 369.9, 276.1),
    (52.4, 265.9, 170.6, 399.5),
)

FACES: tuple[ShippedFace, ...] = (
    *(
        ShippedFace(f"group-{number}", photos.group_photo(), BoundingBox(*box))
        for number, box in enumerate(_GROUP_BOXES, start=1)
    ),
    ShippedFace("portrait", photos.portrait(), BoundingBox(14.2, 12.6, 88.0, 104.4)),
    ShippedFace("astronaut", photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9)),
)


@cache
def pixels_of(path: Path) -> Pixels:
    """The decoded photo; each photo is decoded once per process."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(f"{path} cannot be read; it comes with the installed packages")
    return np.asarray(pixels, dtype=np.uint8)


@cache
def backgrounds() -> tuple[Pixels, ...]:
    """Photos without people."""
    folder = Path(str(files("skimage"))) / "data"
    return tuple(pixels_of(folder / name) for name in _BACKGROUNDS)
