"""Reads the structure of a PNG file (ISO/IEC 15948) without decoding it."""

from __future__ import annotations

import contextlib
import re
import zlib

from bentos.imaging.header import LARGEST_PROFILE_BYTES, ImageHeader, damaged
from bentos.imaging.orientation import MOST_METADATA_BYTES, orientation

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IHDR_BYTES = 13
_MOST_CHUNKS = 100_000
_ORDER = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""The chunks that the pixels depend on."""

_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_XMP = b"XML:com.adobe.xmp"
_KEYWORDS = frozenset({*_RAW_EXIF, _XMP})
_RAW_PROFILE = re.compile(rb"\s{0,9}[^\n]{0,80}\n\s{0,20}\d{1,9}\s{0,9}([0-9a-fA-F\s]+)")
"""A binary block as text, as ImageMagick writes it: a name, the number of bytes, the bytes in hexadecimal."""


def read_png(file: bytes) -> ImageHeader:
    """The header of a PNG; of an APNG that of its still picture. Raises `InvalidImageFormat`.

    Every chunk that the pixels depend on has to be complete, with the right checksum, up to IEND.
    """
    chunks: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    data: list[bytes] = []
    at = len(PNG_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        kind, body, at = _chunk(file, at)
        if kind == b"IDAT":
            data.append(body)
        elif kind == b"IHDR" and chunks:
            raise damaged()
        elif kind in _TEXTS:
            keyword = body[:80].partition(b"\0")[0]
            if keyword in _KEYWORDS and keyword not in texts:
                texts[keyword] = _text(kind, body[len(keyword) + 1 :])
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
    exif_blocks = [chunks.get(b"eXIf", b""), *(_raw_profile(texts.get(name, b"")) for name in _RAW_EXIF)]
    return ImageHeader(
        content_type="image/png",
        width=int.from_bytes(header[:4]),
        height=int.from_bytes(header[4:8]),
        orientation=orientation(exif_blocks, texts.get(_XMP, b"")),
        icc_profile=_profile(chunks.get(b"iCCP", b"")),
        stripped_bytes=PNG_SIGNATURE
        + b"".join(_as_chunk(kind, chunks[kind]) for kind in _ORDER if kind in chunks),
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


def _text(kind: bytes, body: bytes) -> bytes:
    """The text of a chunk, unpacked up to `MOST_METADATA_BYTES`. `body`: the bytes after the keyword and its zero."""
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        body = body[1:]
    elif kind == b"iTXt":
        packed = body[:1] == b"\1"
        body = body[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _unpacked(body, MOST_METADATA_BYTES)[0] if packed else body[:MOST_METADATA_BYTES]


def _raw_profile(text: bytes) -> bytes:
    found = _RAW_PROFILE.match(text)
    with contextlib.suppress(ValueError):
        return bytes.fromhex(found[1].decode("ascii")) if found else b""
    return b""


def _profile(chunk: bytes) -> bytes | None:
    """The colour profile of an iCCP chunk: a name, a zero, the method (0: zlib), the data."""
    profile, complete = _unpacked(chunk.partition(b"\0")[2][1:], LARGEST_PROFILE_BYTES)
    return profile if complete and profile else None


def _unpacked(packed: bytes, most_bytes: int) -> tuple[bytes, bool]:
    """Unpacks `packed` with zlib, up to `most_bytes`. Returns the bytes and whether they are all."""
    unpacker = zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        return unpacker.decompress(packed, most_bytes), unpacker.eof
    return b"", False
