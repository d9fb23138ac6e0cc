"""The photos of these tests, made from real ones: photos of one person, selfies, a film for the camera."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, ImageEnhance, ImageOps

from bentos.demo import photos
from bentos.domain.faces import BoundingBox

_FACE = BoundingBox(178.6, 63.4, 269.1, 173.9)
_FILM = (640, 480)


@cache
def astronaut_selfie() -> bytes:
    """A selfie of the astronaut, JPEG."""
    return photos.selfie_of(photos.astronaut(), _FACE)


def astronaut_photo(number: int) -> bytes:
    """A photo of the astronaut that differs from those of other numbers, JPEG."""
    with Image.open(photos.astronaut()) as opened:
        photo = opened.convert("RGB")
    if number % 2:
        photo = ImageOps.mirror(photo)
    left = number // 2 % 5 * 12
    photo = photo.crop((left, 0, photo.width - 48 + left, photo.height - number // 10 % 5 * 20))
    out = io.BytesIO()
    ImageEnhance.Brightness(photo).enhance(0.75 + number % 60 / 100).save(out, "JPEG", quality=82)
    return out.getvalue() + b"\0" * (number // 60)  # bytes after the end, so that no two files are equal


def camera_film(selfie: bytes) -> bytes:
    """A film of one picture for Chromium's camera: JPEGs of 640 x 480, one after the other."""
    with Image.open(io.BytesIO(selfie)) as opened:
        picture = ImageOps.pad(opened.convert("RGB"), _FILM)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue() * 10


def large_selfie(megabytes: float) -> bytes:
    """A selfie of the astronaut of about that many MiB: many pixels, as a phone's."""
    with Image.open(photos.astronaut()) as opened:
        face = opened.convert("RGB").crop((100, 20, 400, 320))
    wanted, side = megabytes * 1024 * 1024, 3000
    noise = Image.effect_noise((side, side), 40).convert("RGB")
    photo = Image.blend(face.resize((side, side), Image.Resampling.LANCZOS), noise, 0.12)
    written = b""
    for quality in range(60, 99):
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=quality)
        if out.tell() > wanted:
            break
        written = out.getvalue()
    return written
