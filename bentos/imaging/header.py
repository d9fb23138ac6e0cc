"""The header of an image file: size, orientation, colour profile and structure, read without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bentos.domain.errors import InvalidImageFormat

ContentType = Literal["image/jpeg", "image/png", "image/webp"]

LARGEST_PROFILE_BYTES = 4 << 20
"""A larger colour profile is ignored; those of printing presses have 0.5 to 3 MB."""

GreyOrColour = Literal["L", "RGB"]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A file's header, and the file without the parts that a decoder does not need.

    `width`, `height`: pixels as stored, before `orientation` (1..8) turns them.
    `stripped_bytes`: the file rebuilt from the parts that the pixels depend on, without texts, previews, further
    frames and metadata. `plain_jpeg`: a JPEG in grey, or in YCbCr, which becomes RGB; else None.
    `has_end`: false for a JPEG without its end marker; `stripped_bytes` then has none either.
    `can_reduce`: a decoder that scales this file down needs memory for the scaled pixels only.
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
    """The error for an image file that is damaged after its first bytes."""
    return InvalidImageFormat("The image is damaged or cut short.")
