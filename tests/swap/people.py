"""Makes any number of photos of the shipped people, each with different bytes, and one selfie of each person."""

from __future__ import annotations

import numpy as np

from bentos.demo import photos
from seed.shipped_faces import FACES, ShippedFace


def photo_of(index: int) -> tuple[bytes, int]:
    """Photo number `index`, a JPEG, and the number of the person in it."""
    rng = np.random.default_rng((index, 13))
    person = index % len(FACES)
    return _taken(
        FACES[person],
        degrees=rng.uniform(-8, 8),
        scale=rng.uniform(1.1, 1.8),
        light=rng.uniform(0.85, 1.2),
        quality=int(rng.integers(80, 96)),
    ), person


def selfies() -> list[bytes]:
    """The selfies by the number of the person."""
    return [_taken(face, degrees=2.0, scale=1.5, light=1.1, quality=90) for face in FACES]


def _taken(face: ShippedFace, *, degrees: float, scale: float, light: float, quality: int) -> bytes:
    return photos.selfie_of(face.photo, face.bbox, degrees=degrees, scale=scale, light=light, quality=quality)
