"""Real photos from installed packages, and selfies made from them."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageEnhance

from bentos.domain.faces import BoundingBox

_MARGIN = 0.35


def _shipped(package: str, *path: str) -> Path:
    return Path(str(files(package))).joinpath(*path)


def group_photo() -> Path:
    """Six people, 1280 × 886, JPEG."""
    return _shipped("insightface", "data", "images", "t1.jpg")


def portrait() -> Path:
    """One face that fills the image, 112 × 112, PNG."""
    return _shipped("insightface", "data", "images", "Tom_Hanks_54745.png")


def astronaut() -> Path:
    """One person, 512 × 512, PNG."""
    return _shipped("skimage", "data", "astronaut.png")


def coffee_cup() -> Path:
    """No face, 600 × 400, PNG."""
    return _shipped("skimage", "data", "coffee.png")


def selfie_of(
    photo: Path,
    bbox: BoundingBox,
    *,
    degrees: float = 6.0,
    scale: float = 1.4,
    light: float = 1.15,
    quality: int = 88,
    margin: float = _MARGIN,
) -> bytes:
    """A JPEG of the face at `bbox` with another crop, rotation, scale and brightness, like a new photo."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    width, height = bbox.x2 - bbox.x1, bbox.y2 - bbox.y1
    around = (
        max(0, int(bbox.x1 - margin * width)),
        max(0, int(bbox.y1 - margin * height)),
        min(image.width, int(bbox.x2 + margin * width)),
        min(image.height, int(bbox.y2 + margin * height)),
    )
    face = image.crop(around)
    face = face.resize((int(face.width * scale), int(face.height * scale)), Image.Resampling.LANCZOS)
    face = face.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(127, 127, 127))
    face = ImageEnhance.Brightness(face).enhance(light)
    out = io.BytesIO()
    face.save(out, "JPEG", quality=quality)
    return out.getvalue()
