"""Decodes JPEG, PNG and WebP files to upright sRGB pixels, 8 bits per channel, BGR.

The header is read first, so that size and structure are known before a decoder runs. OpenCV decodes plain JPEGs,
which are nearly all uploads; Pillow decodes the rest. docs/images.md has the table of kinds.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from bentos.domain.errors import ImageTooLarge
from bentos.imaging.colour import is_srgb, to_bgr
from bentos.imaging.header import ContentType, ImageHeader, damaged
from bentos.imaging.jpeg import EOI, read_jpeg
from bentos.imaging.kinds import sniff_content_type
from bentos.imaging.orientation import is_sideways, upright
from bentos.imaging.png import read_png
from bentos.imaging.suppress_warnings import suppress_warnings
from bentos.imaging.webp import read_webp

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
_JPEG_DIVISORS = (8, 4, 2, 1)
_THINNEST = 8
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_INSTEAD_OF_MISSING_DATA = (bytes(64), b"\xaa" * 64)
"""Two different continuations of a JPEG's data: if the decoded pixels differ, the data are incomplete."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An upright image in sRGB.

    `pixels`: (h, w, 3) uint8, BGR. `width`, `height`: of the upright image at full scale, in pixels.
    `scale`: 1.0, or 1/2, 1/4, 1/8 where the decoder scaled down: x, y of the full image lie at x * scale,
    y * scale of `pixels`, whose sides are rounded up. `largest_scale`: the scale that the file can be decoded at
    within the limits; `scale` is never above it.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: float
    largest_scale: float = 1.0


def decode(
    image: bytes,
    *,
    max_pixels: int,
    max_jpeg_pixels: int = 0,
    shrink_to: int | None = None,
    min_scale: float = 0.0,
) -> DecodedImage:
    """Decode a JPEG, PNG or WebP file.

    With `shrink_to`, a JPEG is scaled down by 2, 4 or 8 while it is decoded, as far as its longer side stays at
    `shrink_to` pixels or above and its scale at `min_scale` or above. A JPEG above `max_pixels` and up to
    `max_jpeg_pixels` is always scaled down, so that `max_pixels` bounds the memory of every image; a
    progressive one, which takes memory by its full size, is not.

    Raises `InvalidImageFormat` for other kinds, for what is damaged, cut short or empty; `ImageTooLarge`, with
    `details.max_pixels`, before anything is decoded.
    """
    header = _READERS[sniff_content_type(image)](image)
    if not header.width * header.height:
        raise damaged()
    divisors = _divisors(header, max_pixels, max_jpeg_pixels)
    divisor = next(
        (
            each
            for each in divisors
            if shrink_to is not None and _is_enough(header, each, shrink_to, min_scale)
        ),
        divisors[-1],
    )
    pixels = upright(_pixels(header, divisor), header.orientation)
    width, height = header.width, header.height
    if is_sideways(header.orientation):
        width, height = height, width
    return DecodedImage(pixels, width, height, 1 / divisor, 1 / divisors[-1])


def _divisors(header: ImageHeader, max_pixels: int, max_jpeg_pixels: int) -> list[int]:
    """The scales at which this file can be decoded within the limits, the largest first. Raises `ImageTooLarge`.

    An image that would be less than eight pixels wide or high is not scaled.
    """
    limit = max(max_pixels, max_jpeg_pixels) if header.can_reduce else max_pixels
    divisors = []
    if header.width * header.height <= limit:
        divisors = [
            each
            for each in (_JPEG_DIVISORS if header.content_type == "image/jpeg" else (1,))
            if (each == 1 or min(header.width, header.height) >= each * _THINNEST)
            and _shape(header, each)[0] * _shape(header, each)[1] <= max_pixels
        ]
    if not divisors:
        raise ImageTooLarge(
            f"The image has {header.width} x {header.height} pixels, more than {limit}.",
            {"max_pixels": limit},
        )
    return divisors


def _is_enough(header: ImageHeader, divisor: int, shrink_to: int, min_scale: float) -> bool:
    return max(header.width, header.height) >= divisor * shrink_to and divisor * min_scale <= 1


def _pixels(header: ImageHeader, divisor: int) -> NDArray[np.uint8]:
    """The pixels of any image, (h, w, 3) uint8 BGR in sRGB, as stored."""
    if not header.has_end:
        return _without_end(header, divisor)
    pixels = _with_opencv(header, divisor)
    return _with_pillow(header, divisor) if pixels is None else pixels


def _without_end(header: ImageHeader, divisor: int) -> NDArray[np.uint8]:
    """The pixels of a JPEG without its end marker, if they do not depend on how the file might continue.

    libjpeg fills in missing data and only warns; neither OpenCV nor Pillow passes the warning on.
    """
    checksums = set()
    for continuation in _INSTEAD_OF_MISSING_DATA:
        pixels = _with_pillow(
            replace(header, stripped_bytes=header.stripped_bytes + continuation + EOI), divisor
        )
        checksums.add(zlib.crc32(pixels.data))
    if len(checksums) > 1:
        raise damaged()
    return pixels


def _with_opencv(header: ImageHeader, divisor: int) -> NDArray[np.uint8] | None:
    """The pixels of a plain JPEG in sRGB, as stored; None for other files and for files that OpenCV cannot read."""
    mode = header.plain_jpeg
    if mode is None or (header.icc_profile and not is_srgb(header.icc_profile, mode)):
        return None
    try:
        flags = _REDUCED[divisor] | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(header.stripped_bytes, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is None or pixels.shape != _shape(header, divisor):
        return None
    return np.asarray(pixels, np.uint8)


def _with_pillow(header: ImageHeader, divisor: int) -> NDArray[np.uint8]:
    """The pixels of any image, as stored."""
    try:
        with (
            suppress_warnings(),
            _PILLOW[header.content_type](io.BytesIO(header.stripped_bytes)) as picture,
        ):
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
    except Exception as error:  # Pillow's decoders raise many kinds of exceptions for damaged files
        raise damaged() from error


def _shape(header: ImageHeader, divisor: int) -> tuple[int, int, int]:
    """Height, width and channels that the JPEG decoder makes: it rounds up."""
    return -(-header.height // divisor), -(-header.width // divisor), 3
