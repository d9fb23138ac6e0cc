"""The structure of a JPEG file (ITU-T T.81, annex B), read without decoding it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bentos.domain.errors import InvalidImageFormat
from bentos.imaging.header import (
    LARGEST_PROFILE_BYTES,
    GreyOrColour,
    ImageHeader,
    damaged,
    exif_orientation,
)

_SOI = b"\xff\xd8"
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_SOS, _END = 0xDA, 0xD9
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = 0xC2
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_KEPT = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD, _APP0, _APP14, _SOS}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MARKER_AFTER_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_SHORTEST_FRAME = 6
_BITS = 8
_YCBCR = 1

_MOST_SCANS = 32
"""Encoders make ten or so. A scan of a dozen bytes costs a pass over all pixels: thousands cost hours."""


class _Segment(NamedTuple):
    marker: int
    body: bytes
    end: int


def read_jpeg(file: bytes) -> ImageHeader:
    """The header of a JPEG; of an MPO that of its first picture. Raises `InvalidImageFormat`.

    A file without its end-of-image marker is cut short, whatever a decoder would make of it.
    """
    kept = [_SOI]
    profile: dict[bytes, bytes] = {}
    frame, frame_marker, transform, exif = b"", 0, _YCBCR, b""
    at = len(_SOI)
    for segment in _segments(file):
        marker, body, at = segment.marker, segment.body, segment.end
        if marker in _KEPT:
            kept.append(b"\xff" + bytes([marker]) + file[at - len(body) - 2 : at])
        if marker in _FRAMES:
            frame, frame_marker = body, marker
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif marker == _APP2 and body.startswith(b"ICC_PROFILE\0"):
            profile[body[12:13]] = body[14:]
        elif marker == _APP14 and body.startswith(b"Adobe"):
            transform = body[-1]
    if len(frame) < _SHORTEST_FRAME:
        raise damaged()
    if frame_marker not in _HUFFMAN_FRAMES or frame[0] != _BITS:
        raise InvalidImageFormat(
            "Such a JPEG (arithmetic, lossless or above 8 bits) is not read; save it anew."
        )
    end, one_scan = _end_of_image(file, at)
    kept.append(file[at:end])
    return ImageHeader(
        content_type="image/jpeg",
        height=int.from_bytes(frame[1:3]),
        width=int.from_bytes(frame[3:5]),
        orientation=exif_orientation(exif),
        icc_profile=_joined(profile),
        essence=b"".join(kept),
        plain_jpeg=_plain(frame[5], transform) if one_scan or frame_marker == _PROGRESSIVE else None,
    )


def _plain(components: int, transform: int) -> GreyOrColour | None:
    """What a picture of so many components becomes, if that is grey or RGB made of YCbCr."""
    if components == 1:
        return "L"
    return "RGB" if components == 3 and transform == _YCBCR else None  # noqa: PLR2004 Y, Cb, Cr


def _segments(file: bytes) -> Iterator[_Segment]:
    """The segments from the start of the image to the header of its first scan."""
    at = len(_SOI)
    marker = 0
    while marker != _SOS:
        marker, at = _next(_MARKER, file, at)
        if marker in _STANDALONE:
            continue
        if marker == _END:
            raise damaged()
        body, at = _body(file, at)
        yield _Segment(marker, body, at)


def _next(pattern: re.Pattern[bytes], file: bytes, at: int) -> tuple[int, int]:
    """The next marker from `at`, past fill bytes and whatever else precedes it, and where it ends."""
    found = pattern.search(file, at)
    if found is None:
        raise damaged()
    return found[1][0], found.end()


def _body(file: bytes, at: int) -> tuple[bytes, int]:
    """The body of the segment whose length stands at `at`, and where it ends."""
    length = int.from_bytes(file[at : at + 2])
    if length < 2 or at + length > len(file):  # noqa: PLR2004 the length counts its own two bytes
        raise damaged()
    return file[at + 2 : at + length], at + length


def _end_of_image(file: bytes, at: int) -> tuple[int, bool]:
    """Where the picture ends whose first scan's data begin at `at`, and whether nothing follows that scan.

    Where something does, in a file that is not progressive, the data are damaged more often than not, and
    OpenCV gives out what it has decoded up to there: such a file is not for the fast path.
    """
    scans, segments = 1, 0
    while True:
        marker, at = _next(_MARKER_AFTER_DATA, file, at)
        if marker == _END:
            return at, segments == 0
        segments += 1
        if marker in _STANDALONE:
            continue
        scans += marker == _SOS
        if scans > _MOST_SCANS:
            raise damaged()
        _, at = _body(file, at)


def _joined(profile: dict[bytes, bytes]) -> bytes | None:
    """The colour profile from its numbered parts (ICC.1:2022, annex B.4)."""
    joined = b"".join(profile[number] for number in sorted(profile))
    return joined if 0 < len(joined) <= LARGEST_PROFILE_BYTES else None
