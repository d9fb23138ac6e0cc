"""Reads the structure of a WebP file (RFC 9649) without decoding it."""

from __future__ import annotations

from bentos.imaging.header import LARGEST_PROFILE_BYTES, ImageHeader, damaged
from bentos.imaging.orientation import orientation

_RIFF_HEADER = 12
_CHUNK_HEADER = 8
_VP8_START_CODE = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = 0x2F
_MOST_CHUNKS = 100_000


def read_webp(file: bytes) -> ImageHeader:
    """The header of a WebP; of an animation that of its first frame. Raises `InvalidImageFormat`."""
    end = _CHUNK_HEADER + int.from_bytes(file[4:8], "little")
    if end > len(file):
        raise damaged()
    chunks: dict[bytes, bytes] = {}
    at = _RIFF_HEADER
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK_HEADER > end:
            break
        length = int.from_bytes(file[at + 4 : at + 8], "little")
        if at + _CHUNK_HEADER + length > end:
            raise damaged()
        body = file[at + _CHUNK_HEADER : at + _CHUNK_HEADER + length]
        chunks.setdefault(file[at : at + 4], body)
        at += _CHUNK_HEADER + length + length % 2
    else:
        raise damaged()
    if not chunks:
        raise damaged()
    width, height = _size(*next(iter(chunks.items())))
    profile = chunks.get(b"ICCP", b"")
    return ImageHeader(
        content_type="image/webp",
        width=width,
        height=height,
        orientation=orientation([chunks.get(b"EXIF", b"")], chunks.get(b"XMP ", b"")),
        icc_profile=profile if 0 < len(profile) <= LARGEST_PROFILE_BYTES else None,
        stripped_bytes=file[:end],
    )


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Width and height from the first chunk."""
    if kind == b"VP8X" and len(body) >= 10:  # noqa: PLR2004 flags, reserved, two sizes of three bytes
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8 " and body[3:6] == _VP8_START_CODE:
        return _low_14_bits(body[6:8]), _low_14_bits(body[8:10])
    if kind == b"VP8L" and body[:1] == bytes([_VP8L_SIGNATURE]):
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    raise damaged()


def _low_14_bits(two_bytes: bytes) -> int:
    return int.from_bytes(two_bytes, "little") & 0x3FFF
