"""Small image files whose decoding would take very much memory or time without limits."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from tests.unit.imaging.image_kinds import jpeg, photo, png, png_chunk, saved


@cache
def packed() -> bytes:
    """A hundred megabytes of zeros."""
    return zlib.compress(bytes(100 << 20))


def oversized_jpeg(width: int, height: int) -> bytes:
    whole = jpeg(photo().resize((64, 64)))
    at = whole.index(b"\xff\xc0") + 5
    return whole[:at] + struct.pack(">HH", height, width) + whole[at + 4 :]


def oversized_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return png(header, zlib.compress(bytes(1 << 20)))


def oversized_webp(width: int, height: int) -> bytes:
    whole = bytearray(saved(photo().resize((64, 64)), "WEBP"))
    struct.pack_into("<HH", whole, 26, width, height)
    return bytes(whole)


def oversized_lossless_webp(width: int, height: int) -> bytes:
    whole = bytearray(saved(photo().resize((64, 64)), "WEBP", lossless=True))
    struct.pack_into("<I", whole, 21, (width - 1) | ((height - 1) << 14))
    return bytes(whole)


def oversized_moving_webp(width: int, height: int) -> bytes:
    frame = photo().resize((64, 64))
    file = io.BytesIO()
    frame.save(file, "WEBP", save_all=True, append_images=[Image.new("RGB", frame.size)])
    whole = bytearray(file.getvalue())
    whole[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(whole)


OVERSIZED: dict[str, Callable[[int, int], bytes]] = {
    "jpeg": oversized_jpeg,
    "png": oversized_png,
    "webp": oversized_webp,
    "webp lossless": oversized_lossless_webp,
    "webp animated": oversized_moving_webp,
}


def with_scans(count: int) -> bytes:
    """A progressive JPEG, 160 x 111, whose last scan is repeated many times."""
    whole = jpeg(photo().resize((160, 111)), progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * max(1, count - whole.count(b"\xff\xda") + 1) + whole[-2:]


def png_with(kind: bytes, body: bytes) -> bytes:
    whole = saved(photo().resize((64, 64)), "PNG")
    return whole[:33] + png_chunk(kind, body) + whole[33:]


def nested_png_frames() -> bytes:
    frames = [Image.new("RGB", (64, 64), (level, 0, 0)) for level in range(256)] * 4
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=1)


def moving_webp() -> bytes:
    frames = [Image.new("RGB", (500, 500), (level, 0, 0)) for level in range(200)]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=1)


def greedy_exif() -> bytes:
    """EXIF with thousands of tags that all refer to the same 60 KB."""
    tags = b"".join(struct.pack("<HHII", tag, 7, 60_000, 0) for tag in range(1000, 6000))
    return jpeg(
        photo().resize((64, 64)), exif=(b"Exif\0\0II*\0" + struct.pack("<IH", 8, 5000) + tags)[:65_500]
    )


def png_with_packed_text(keyword: bytes, content: bytes) -> bytes:
    return png_with(b"zTXt", keyword + b"\0\0" + zlib.compress(content))


def very_many_segments() -> bytes:
    """A JPEG whose scan is followed by half a million empty comments."""
    whole = jpeg(photo().resize((64, 64)))
    return whole[:-2] + b"\xff\xfe\0\2" * 500_000 + whole[-2:]


def entities_in_xmp() -> bytes:
    """XMP in which each entity expands to ten of the previous one: a billion in total for an expanding XML parser."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    packet = f'<!DOCTYPE x [<!ENTITY e0 "lol">{entities}]><x tiff:Make="&e9;" tiff:Orientation="6"/>'.encode()
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet
    whole = jpeg(photo().resize((64, 64)))
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + whole[2:]


def flat(width: int, height: int, kind: str, **options: object) -> bytes:
    return saved(Image.fromarray(np.zeros((height, width, 3), np.uint8)), kind, **options)


BOMBS: dict[str, Callable[[], bytes]] = {
    **{f"{name}, 268 megapixels": lambda make=make: make(16383, 16383) for name, make in OVERSIZED.items()},
    "jpeg, 4 megapixels in nothing": lambda: flat(2000, 2000, "JPEG"),
    "jpeg progressive, 4 megapixels in nothing": lambda: flat(2000, 2000, "JPEG", progressive=True),
    "png, 4 megapixels in nothing": lambda: flat(2000, 2000, "PNG"),
    "webp, 4 megapixels in nothing": lambda: flat(2000, 2000, "WEBP", lossless=True),
    "jpeg, a thousand scans": lambda: with_scans(1000),
    "jpeg, greedy exif": greedy_exif,
    "png, a text that unpacks to 100 MB": lambda: png_with(b"zTXt", b"k\0\0" + packed()),
    "png, xmp that unpacks to 100 MB": lambda: png_with_packed_text(b"XML:com.adobe.xmp", bytes(100 << 20)),
    "png, raw exif that unpacks to 100 MB": lambda: png_with_packed_text(
        b"Raw profile type exif", b"\nexif\n 99999999\n" + b"00" * (50 << 20)
    ),
    "jpeg, very many segments": very_many_segments,
    "jpeg, entities in xmp": entities_in_xmp,
    "png, a profile that unpacks to 100 MB": lambda: png_with(b"iCCP", b"k\0\0" + packed()),
    "png, rows that unpack to 100 MB": lambda: png(struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0), packed()),
    "png, a thousand frames": nested_png_frames,
    "webp, two hundred frames": moving_webp,
}
