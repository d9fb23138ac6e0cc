"""Reads the structure of a JPEG file (ITU-T T.81, annex B) without decoding it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bentos.domain.errors import InvalidImageFormat
from bentos.imaging.header import LARGEST_PROFILE_BYTES, GreyOrColour, ImageHeader, damaged
from bentos.imaging.orientation import orientation

EOI = b"\xff\xd9"
"""The end-of-image marker."""

_SOI = b"\xff\xd8"
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_SOS, _END = 0xDA, 0xD9
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = 0xC2
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_KEPT = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD, _APP0, _APP14, _SOS}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_EXIF, _XMP, _ICC, _ADOBE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"Adobe"

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_SHORTEST_FRAME = 6
_BITS = 8
_YCBCR = 1
_COEFFICIENTS = 64

_ENDS_DATA = np.ones(256, np.bool_)
"""Which bytes after 0xFF end the data of a scan: not a stuffed zero, a fill byte or a restart marker."""
_ENDS_DATA[[0x00, 0xFF, *range(0xD0, 0xD8)]] = False
_SEARCHED_FIRST, _SEARCHED_AT_ONCE = 4 << 10, 256 << 10

_MOST_SCANS = 32
"""Encoders write about ten scans. Each scan costs a pass over all pixels, so that thousands would take hours."""

_MOST_SEGMENTS = 4096
"""The limit before the first scan, and again after it. More segments of the largest size exceed 256 MB."""


class _Segment(NamedTuple):
    """A marker segment: from its marker at `start` to `end`; `body` follows the two bytes of its length."""

    marker: int
    body: bytes
    start: int
    end: int


_NO_SEGMENT = _Segment(0, b"", 0, 0)


class _Scans(NamedTuple):
    """The scans of an image. `end`: where they end, past the end marker if there is one (`has_end`).
    `headers`: their headers. `alone`: there are no other segments between the first scan and the end.
    """

    end: int
    has_end: bool
    headers: Sequence[bytes]
    alone: bool


def read_jpeg(file: bytes) -> ImageHeader:
    """The header of a JPEG; of an MPO that of its first picture. Raises `InvalidImageFormat`.

    A file without its end marker is accepted only if its scans contain every coefficient; the decoder finds out
    whether the last scan is complete.
    """
    segments = list(_segments(file))
    frame_marker, frame, *_ = next(
        (each for each in reversed(segments) if each.marker in _FRAMES), _NO_SEGMENT
    )
    if len(frame) < _SHORTEST_FRAME:
        raise damaged()
    if frame_marker not in _HUFFMAN_FRAMES or frame[0] != _BITS:
        raise InvalidImageFormat(
            "JPEGs that are lossless, arithmetic-coded or above 8 bits are not supported; save it as a common JPEG."
        )
    progressive = frame_marker == _PROGRESSIVE
    first_scan = segments[-1]
    scans = _scans(file, first_scan)
    if not scans.has_end and not _has_every_coefficient(scans.headers, frame, progressive=progressive):
        raise damaged()
    kept = (file[each.start : each.end] for each in segments if each.marker in _KEPT)
    fast = scans.has_end and (scans.alone or progressive)
    return ImageHeader(
        content_type="image/jpeg",
        height=int.from_bytes(frame[1:3]),
        width=int.from_bytes(frame[3:5]),
        orientation=orientation(
            _bodies(segments, _APP1, _EXIF)[:1], b"".join(_bodies(segments, _APP1, _XMP)[:1])
        ),
        icc_profile=_joined(_bodies(segments, _APP2, _ICC)),
        stripped_bytes=b"".join([_SOI, *kept, memoryview(file)[first_scan.end : scans.end]]),
        plain_jpeg=_plain(frame[5], _bodies(segments, _APP14, _ADOBE)) if fast else None,
        has_end=scans.has_end,
        can_reduce=not progressive and first_scan.body[:1] == frame[5:6],
    )


def _bodies(segments: Sequence[_Segment], marker: int, beginning: bytes) -> list[bytes]:
    """The bodies, without their prefix, of the segments with this marker and prefix."""
    return [each.body for each in segments if each.marker == marker and each.body.startswith(beginning)]


def _plain(components: int, adobe: Sequence[bytes]) -> GreyOrColour | None:
    """The mode of a plain JPEG with these components: grey, or RGB converted from YCbCr; else None."""
    transform = adobe[-1][-1] if adobe else _YCBCR
    if components == 1:
        return "L"
    return "RGB" if components == 3 and transform == _YCBCR else None  # noqa: PLR2004 Y, Cb, Cr


def _segments(file: bytes) -> Iterator[_Segment]:
    """The segments from the start of the image to the header of its first scan."""
    at = len(_SOI)
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(file, at)  # past fill bytes and whatever else precedes the marker
        if found is None or found[1][0] == _END:
            break
        marker, at = found[1][0], found.end()
        if marker in _STANDALONE:
            continue
        start = at - 2
        body, at = _body(file, at)
        yield _Segment(marker, body, start, at)
        if marker == _SOS:
            return
    raise damaged()


def _body(file: bytes, at: int) -> tuple[bytes, int]:
    """The body of the segment whose length is at `at`, and where the segment ends."""
    length = int.from_bytes(file[at : at + 2])
    if length < 2 or at + length > len(file):  # noqa: PLR2004 the length counts its own two bytes
        raise damaged()
    return file[at + 2 : at + length], at + length


def _scans(file: bytes, first: _Segment) -> _Scans:
    """The scans of the image, from `first`, the header of the first one.

    `alone` matters for files that are not progressive: a marker inside the data then mostly means damage, and OpenCV
    returns the part that it has decoded so far without an error.
    """
    headers, at = [first.body], first.end
    for number in range(_MOST_SEGMENTS):
        found = _marker_after_data(file, at)
        if found is None:
            return _Scans(len(file) - file.endswith(b"\xff"), False, headers, number == 0)
        marker, at = found
        if marker == _END:
            return _Scans(at, True, headers, number == 0)
        if marker in _STANDALONE:
            continue
        body, at = _body(file, at)
        if marker == _SOS:
            headers.append(body)
        if len(headers) > _MOST_SCANS:
            break
    raise damaged()


def _marker_after_data(file: bytes, at: int) -> tuple[int, int] | None:
    """The marker that ends the data starting at `at`, and where the marker ends; None without a marker.

    numpy searches the megabytes of a scan five times as fast as a regular expression. The first block is small, because
    a file may have thousands of markers that follow each other.
    """
    data = np.frombuffer(file, np.uint8)
    start, size = at, _SEARCHED_FIRST
    while start < len(file) - 1:
        block = data[start : start + size + 1]
        candidates = np.flatnonzero(block[:-1] == 0xFF)  # noqa: PLR2004 what every marker begins with
        markers = candidates[_ENDS_DATA[block[candidates + 1]]]
        if markers.size:
            position = start + int(markers[0])
            return file[position + 1], position + 2
        start, size = start + size, min(4 * size, _SEARCHED_AT_ONCE)
    return None


def _has_every_coefficient(scans: Sequence[bytes], frame: bytes, *, progressive: bool) -> bool:
    """Whether these scans contain all bits of all coefficients of all components (T.81, B.2.3, G.1)."""
    missing = {(component, at) for component in frame[6::3] for at in range(_COEFFICIENTS)}
    for scan in scans:
        components = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
        first, last, bits = scan[-3:] if progressive and len(scan) > 3 else (0, _COEFFICIENTS - 1, 0)  # noqa: PLR2004
        if bits & 0x0F == 0:
            missing -= {(component, at) for component in components for at in range(first, last + 1)}
    return not missing


def _joined(profile: Sequence[bytes]) -> bytes | None:
    """The colour profile from the segments with its numbered parts (ICC.1:2022, annex B.4)."""
    parts = {body[12:13]: body[14:] for body in profile}
    joined = b"".join(parts[number] for number in sorted(parts))
    return joined if 0 < len(joined) <= LARGEST_PROFILE_BYTES else None
