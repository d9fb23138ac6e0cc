"""Converts decoded images to 8-bit sRGB: colour profiles, palettes, 16 bits per channel, transparency."""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from bentos.imaging.header import GreyOrColour

_WHITE = (255, 255, 255)
_ROWS_AT_ONCE = 512
_PROBE_LEVELS = (0, 32, 64, 96, 128, 160, 192, 224, 255)
_PLAIN_MODE = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
_INVISIBLE = 2
"""By how many levels of 255 a profile may differ from sRGB and still be treated as sRGB."""


def is_srgb(icc_profile: bytes, mode: GreyOrColour) -> bool:
    """Whether this profile does not change a picture of this mode, or cannot be applied to it."""
    return _conversion(icc_profile, mode) is None and _conversion(icc_profile, "RGB") is None


def to_bgr(picture: Image.Image, icc_profile: bytes | None) -> NDArray[np.uint8]:
    """`picture`, decoded by Pillow, as (h, w, 3) BGR in sRGB; transparent pixels become white.

    A profile is applied in the mode of the file (RGB, grey, CMYK). A profile that is broken or made for another mode
    is ignored.
    """
    alpha = None
    if picture.mode.startswith("I"):
        picture, alpha = _eight_bits(picture)
    elif picture.mode in _PLAIN_MODE:
        picture = picture.convert(_PLAIN_MODE[picture.mode] + ("A" if "transparency" in picture.info else ""))
    if picture.mode in {"LA", "RGBA"}:
        alpha = picture.getchannel("A")
        picture = picture.convert(picture.mode.removesuffix("A"))  # drops the alpha, keeps hidden colours
    picture = _to_srgb(picture, icc_profile)
    if alpha is not None and alpha.getextrema() != (255, 255):
        white = Image.new("RGB", picture.size, _WHITE)
        white.paste(picture, mask=alpha)
        picture = white
    return _as_bgr(picture)


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """16-bit grey as 8-bit grey, and its transparency. Pillow's own conversion clips at 255 instead."""
    levels = np.asarray(picture)
    key = picture.info.get("transparency")
    alpha = None if key is None else Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8))
    return Image.fromarray((levels >> 8).astype(np.uint8)), alpha


def _to_srgb(picture: Image.Image, icc_profile: bytes | None) -> Image.Image:
    conversion = _conversion(icc_profile, picture.mode) if icc_profile else None
    if conversion is None and icc_profile and picture.mode == "L":
        conversion = _conversion(icc_profile, "RGB")  # a PNG may have grey pixels with an RGB profile
        picture = picture.convert("RGB") if conversion else picture
    if conversion is None:
        return picture.convert("RGB")
    return ImageCms.applyTransform(picture, conversion) or picture


@lru_cache(maxsize=8)
def _conversion(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion to sRGB for pictures of this mode; None if it changes nothing or cannot be built."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        conversion = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if _changes_nothing(conversion, mode) else conversion


def _changes_nothing(conversion: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the conversion leaves a grid of colours, or every grey, unchanged. CMYK always changes."""
    if mode == "CMYK":
        return False
    colours = (
        list(product(_PROBE_LEVELS, repeat=3)) if mode == "RGB" else [(level,) * 3 for level in range(256)]
    )
    grid = Image.fromarray(np.array([colours], np.uint8))
    converted = ImageCms.applyTransform(grid.convert(mode), conversion)
    return bool(np.abs(np.asarray(converted, np.int16) - np.asarray(grid)).max() <= _INVISIBLE)


def _as_bgr(picture: Image.Image) -> NDArray[np.uint8]:
    """Converts Pillow's RGB to OpenCV's BGR in blocks of rows; all at once would take twice the memory."""
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, picture.height)
        rows = picture if bottom - top == picture.height else picture.crop((0, top, picture.width, bottom))
        cv2.cvtColor(np.asarray(rows), cv2.COLOR_RGB2BGR, dst=pixels[top:bottom])
    return pixels
