"""What the header of an image file says: kind, size, orientation, colour profile. Nothing is decoded for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bentos.domain.errors import InvalidImageFormat

ContentType = Literal["image/jpeg", "image/png", "image/webp"]

LARGEST_PROFILE_BYTES = 4 << 20
"""A colour profile above this is ignored; those of printing presses have half a megabyte to three."""

GreyOrColour = Literal["L", "RGB"]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A file's header, and the file without what the decoder does not need.

    `width`, `height`: pixels as stored, before `orientation` (1..8) turns them.
    `stripped_bytes`: the file rebuilt from the parts that make the picture, without texts, previews, further
    frames and metadata. `plain_jpeg`: a JPEG in grey, or in YCbCr, which becomes RGB; else None.
    `has_end`: false for a JPEG without its end marker; `stripped_bytes` then has none either.
    `can_reduce`: a decoder that scales this file down needs memory for the scaled pixels alone.
    """

    content_type: ContentType
    width: int
    height: int
    orientation: int
    icc_profile: bytes | None
    stripped_bytes: bytes
    plain_jpeg: GreyOrColour | None = None
    has_end: bool = True
    can_reduce: bool = False


def damaged() -> InvalidImageFormat:
    """The error for a file that begins as an image and does not go on as one."""
    return InvalidImageFormat("The image is damaged or cut short.")
