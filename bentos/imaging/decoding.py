"""Bytes to pixels: JPEG, PNG and WebP by their content, upright, sRGB, 8 bits a channel, BGR.

The header is read first (`read_header`), so that size and structure are known before a decoder sees a
byte. Plain JPEGs, nearly all that come, go to OpenCV; all else goes to Pillow. docs/images.md has the
table of kinds.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from bentos.domain.errors import ImageTooLarge, InvalidImageFormat
from bentos.imaging.colour import is_srgb, to_bgr
from bentos.imaging.header import ContentType, ImageHeader, damaged
from bentos.imaging.jpeg import read_jpeg
from bentos.imaging.png import PNG_SIGNATURE, read_png
from bentos.imaging.suppress_warnings import quietly
from bentos.imaging.webp import is_webp, read_webp

_READERS: dict[ContentType, Callable[[bytes], ImageHeader]] = {
    "image/jpeg": read_jpeg,
    "image/png": read_png,
    "image/webp": read_webp,
}
_PILLOW: dict[ContentType, type[ImageFile.ImageFile]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
}
_JPEG_SCALES = (8, 4, 2)
_THINNEST = 8
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_FIRST_SIDEWAYS = 5
"""From this EXIF orientation on, rows and columns are swapped."""

_MIRRORED = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
"""For each EXIF orientation the axes to mirror, 0 rows and 1 columns, after the swap if there is one."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An upright image in sRGB.

    `pixels`: (h, w, 3) uint8, BGR. `width`, `height`: of the upright image at full scale, in pixels.
    `scale`: 1.0, or 1/2, 1/4, 1/8 where the decoder scaled down: x, y of the full image lie at x * scale,
    y * scale of `pixels`, whose sides are rounded up.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: float


def sniff_content_type(image: bytes) -> ContentType:
    """What the file is, by its first bytes. Raises `InvalidImageFormat` for all but JPEG, PNG, WebP."""
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if image.startswith(PNG_SIGNATURE):
        return "image/png"
    if is_webp(image):
        return "image/webp"
    if not image:
        raise InvalidImageFormat("The image is empty.")
    raise InvalidImageFormat("The file is not a JPEG, PNG or WebP image.")


def decode(image: bytes, *, max_pixels: int, shrink_to: int | None = None) -> DecodedImage:
    """Decode a JPEG, PNG or WebP file.

    With `shrink_to`, a JPEG whose longer side is twice that or more is scaled down by 2, 4 or 8 while it is
    decoded; the longer side stays at `shrink_to` pixels or above.

    Raises `InvalidImageFormat` for other kinds, for what is damaged, cut short or empty; `ImageTooLarge`, with
    `details.max_pixels`, before anything is decoded.
    """
    content_type = sniff_content_type(image)
    header = _READERS[content_type](image)
    width, height = header.width, header.height
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"The image has {width} x {height} pixels, more than {max_pixels}.", {"max_pixels": max_pixels}
        )
    if not width * height:
        raise damaged()
    divisor = _divisor(header, shrink_to)
    pixels = _with_opencv(header, divisor)
    if pixels is None:
        pixels = _with_pillow(header, divisor)
    pixels = _upright(pixels, header.orientation)
    if header.orientation >= _FIRST_SIDEWAYS:
        width, height = height, width
    return DecodedImage(pixels, width, height, 1 / divisor)


def _divisor(header: ImageHeader, shrink_to: int | None) -> int:
    """By how much the JPEG decoder may scale down. Strips thinner than eight pixels then are left as they are."""
    if shrink_to is None or header.content_type != "image/jpeg":
        return 1
    shorter, longer = sorted((header.width, header.height))
    fits = (d for d in _JPEG_SCALES if longer >= d * shrink_to and shorter >= d * _THINNEST)
    return next(fits, 1)


def _with_opencv(header: ImageHeader, divisor: int) -> NDArray[np.uint8] | None:
    """The pixels of a plain JPEG in sRGB, as stored; None for all else and for what OpenCV cannot read."""
    mode = header.plain_jpeg
    if mode is None or (header.icc_profile and not is_srgb(header.icc_profile, mode)):
        return None
    try:
        flags = _REDUCED[divisor] | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(header.essence, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is None or pixels.shape != _shape(header, divisor):
        return None
    return np.asarray(pixels, np.uint8)


def _with_pillow(header: ImageHeader, divisor: int) -> NDArray[np.uint8]:
    """The pixels of any image, as stored."""
    try:
        with quietly(), _PILLOW[header.content_type](io.BytesIO(header.essence)) as picture:
            if divisor > 1:
                picture.draft(None, (header.width // divisor, header.height // divisor))
            picture.load()
            return to_bgr(picture, header.icc_profile)
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(
            "The image has too many pixels.", {"max_pixels": Image.MAX_IMAGE_PIXELS}
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        raise damaged() from error


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation >= _FIRST_SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(np.flip(pixels, _MIRRORED.get(orientation, ())))


def _shape(header: ImageHeader, divisor: int) -> tuple[int, int, int]:
    """Height, width and channels that the JPEG decoder makes: it rounds up."""
    return -(-header.height // divisor), -(-header.width // divisor), 3
