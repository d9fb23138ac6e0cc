"""What an image file says of itself before anything is decoded: its kind, its size, which way is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bentos.domain.errors import InvalidImageFormat

ContentType = Literal["image/jpeg", "image/png", "image/webp"]

LARGEST_PROFILE_BYTES = 4 << 20
"""A colour profile above this is ignored; those of printing presses have half a megabyte to three."""

GreyOrColour = Literal["L", "RGB"]

_TIFF_ORIENTATION = 0x0112
_TIFF_SHORT = 3


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A file's header, and the file without what the decoder does not need.

    `width`, `height` in pixels as stored, before the EXIF `orientation` (1..8, EXIF 2.32 section 4.6.4) turns
    them. `essence` is the file rebuilt from the parts that make the picture: no texts, no previews, no
    further frames, no metadata for a decoder to trip over. `plain_jpeg`: a JPEG in grey, or in
    YCbCr and so to become RGB; else None.
    """

    content_type: ContentType
    width: int
    height: int
    orientation: int
    icc_profile: bytes | None
    essence: bytes
    plain_jpeg: GreyOrColour | None = None


def damaged() -> InvalidImageFormat:
    """The error for a file that begins as an image and does not go on as one."""
    return InvalidImageFormat("The image is damaged or cut short.")


def exif_orientation(exif: bytes) -> int:
    """The orientation (1..8) in an EXIF block, with or without its `Exif` prefix; 1 when there is none."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"]
    if tiff.startswith(b"II*\0"):
        order = "little"
    elif tiff.startswith(b"MM\0*"):
        order = "big"
    else:
        return 1
    start = int.from_bytes(tiff[4:8], order)
    entries = int.from_bytes(tiff[start : start + 2], order)
    for at in range(start + 2, min(start + 2 + 12 * entries, len(tiff) - 11), 12):
        if int.from_bytes(tiff[at : at + 2], order) == _TIFF_ORIENTATION:
            is_short = int.from_bytes(tiff[at + 2 : at + 4], order) == _TIFF_SHORT
            value = int.from_bytes(tiff[at + 8 : at + 10], order) if is_short else 1
            return value if 1 <= value <= 8 else 1  # noqa: PLR2004 the eight ways that EXIF knows
    return 1
