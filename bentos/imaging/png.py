"""The structure of a PNG file (ISO/IEC 15948), read without decoding it."""

from __future__ import annotations

import contextlib
import zlib

from bentos.imaging.header import LARGEST_PROFILE_BYTES, ImageHeader, damaged, exif_orientation

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IHDR_BYTES = 13
_MOST_CHUNKS = 100_000
_ORDER = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""The chunks that make the picture."""


def read_png(file: bytes) -> ImageHeader:
    """The header of a PNG; of an APNG that of its still picture. Raises `InvalidImageFormat`.

    Every chunk that makes the picture has to be whole, with the right checksum, up to IEND.
    """
    chunks: dict[bytes, bytes] = {}
    data: list[bytes] = []
    at = len(PNG_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        kind, body, at = _chunk(file, at)
        if kind == b"IDAT":
            data.append(body)
        elif kind == b"IHDR" and chunks:
            raise damaged()
        else:
            chunks.setdefault(kind, body)
        if kind == b"IEND":
            break
    else:
        raise damaged()
    header = chunks.get(b"IHDR", b"")
    if next(iter(chunks)) != b"IHDR" or len(header) != _IHDR_BYTES or not data:
        raise damaged()
    chunks[b"IDAT"] = b"".join(data)
    return ImageHeader(
        content_type="image/png",
        width=int.from_bytes(header[:4]),
        height=int.from_bytes(header[4:8]),
        orientation=exif_orientation(chunks.get(b"eXIf", b"")),
        icc_profile=_profile(chunks.get(b"iCCP", b"")),
        essence=PNG_SIGNATURE + b"".join(_as_chunk(kind, chunks[kind]) for kind in _ORDER if kind in chunks),
    )


def _chunk(file: bytes, at: int) -> tuple[bytes, bytes, int]:
    """The chunk that begins at `at`: its kind, its body, and where it ends."""
    length = int.from_bytes(file[at : at + 4])
    end = at + 12 + length
    if end > len(file):
        raise damaged()
    kind, body = file[at + 4 : at + 8], file[at + 8 : end - 4]
    if kind in _ORDER and zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(file[end - 4 : end]):
        raise damaged()
    return kind, body, end


def _as_chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return len(body).to_bytes(4) + kind + body + checksum.to_bytes(4)


def _profile(chunk: bytes) -> bytes | None:
    """The colour profile of an iCCP chunk: a name, a zero, the method (0: zlib), the data."""
    _, _, packed = chunk.partition(b"\0")
    unpacker = zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        profile = unpacker.decompress(packed[1:], LARGEST_PROFILE_BYTES)
        if unpacker.eof and profile:
            return profile
    return None
