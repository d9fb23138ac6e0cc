"""Reads the orientation tag of EXIF and XMP, and turns pixels upright."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MOST_METADATA_BYTES = 1 << 20
"""The most bytes of an EXIF or XMP block that are unpacked or searched."""

_UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
_FIRST_SIDEWAYS = 5
"""For this orientation and above, rows and columns are swapped."""

_MIRRORED = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
"""For each orientation the axes to mirror, 0 rows and 1 columns, after the swap if there is one."""

_TAG = 0x0112
_ENTRY_BYTES = 12
_INLINE_BYTES = 4
_INTEGER_BYTES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4}
"""Bytes of TIFF's integer types: BYTE, SHORT, LONG and the same signed (TIFF 6.0, section 2)."""

_XMP_TAG = re.compile(rb"""tiff:Orientation\s{0,9}(?:=\s{0,9}["']|>)\s{0,9}([1-8])\s{0,9}["'<]""")


def orientation(exif_blocks: Iterable[bytes], xmp: bytes) -> int:
    """The orientation, 1..8 (EXIF 2.32, section 4.6.4): of the first EXIF block that has one, else of XMP, else 1."""
    found = (exif_orientation(block) for block in exif_blocks)
    return next((value for value in found if value is not None), None) or xmp_orientation(xmp) or _UPRIGHT


def exif_orientation(exif: bytes) -> int | None:
    """The orientation (1..8) in an EXIF block, with or without its `Exif` prefix; None without a valid one."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"]
    if tiff.startswith(b"II*\0"):
        order = "little"
    elif tiff.startswith(b"MM\0*"):
        order = "big"
    else:
        return None
    start = int.from_bytes(tiff[4:8], order)
    entries = int.from_bytes(tiff[start : start + 2], order)
    first = start + 2
    for at in range(first, min(first + _ENTRY_BYTES * entries, len(tiff) - _ENTRY_BYTES + 1), _ENTRY_BYTES):
        if int.from_bytes(tiff[at : at + 2], order) == _TAG:
            return _first_integer(tiff, at, order)
    return None


def _first_integer(tiff: bytes, entry: int, order: Literal["little", "big"]) -> int | None:
    """The first value of the entry that begins at `entry`, if that is a valid orientation."""
    size = _INTEGER_BYTES.get(int.from_bytes(tiff[entry + 2 : entry + 4], order), 0)
    count = int.from_bytes(tiff[entry + 4 : entry + 8], order)
    at = entry + 8
    if size * count > _INLINE_BYTES:
        at = int.from_bytes(tiff[at : at + 4], order)
    value = int.from_bytes(tiff[at : at + size], order) if count else 0
    return value if value in _ORIENTATIONS else None


def xmp_orientation(xmp: bytes) -> int | None:
    """`tiff:Orientation` of an XMP packet (XMP part 2, section 3.7), an attribute or an element; None without it.

    Found by a text search, because an XML parser would have to be prevented from expanding entities.
    """
    found = _XMP_TAG.search(xmp, 0, MOST_METADATA_BYTES)
    return int(found[1]) if found else None


def is_sideways(value: int) -> bool:
    """Whether `upright` swaps width and height for this orientation."""
    return value >= _FIRST_SIDEWAYS


def upright(pixels: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    """`pixels`, (h, w, 3), turned as orientation `value` says; contiguous."""
    if is_sideways(value):
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(np.flip(pixels, _MIRRORED.get(value, ())))
