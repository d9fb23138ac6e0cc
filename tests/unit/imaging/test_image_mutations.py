"""Tests thousands of damaged image files: each is decoded or refused, and both decoders agree.

IMAGE_MUTATIONS sets the number of mutations per kind of file.
"""

from __future__ import annotations

import math
import os
import random
import zlib

import numpy as np
import pytest

from bentos.domain.errors import ImageTooLarge, InvalidImageFormat
from bentos.imaging.decoding import _with_opencv, _with_pillow, decode
from bentos.imaging.jpeg import read_jpeg
from bentos.imaging.png import PNG_SIGNATURE
from tests.unit.imaging.icc_profiles import display_p3
from tests.unit.imaging.image_kinds import exif, jpeg, photo, saved
from tests.unit.imaging.metadata_blocks import (
    international_text,
    jpeg_with,
    jpeg_xmp,
    packed_text,
    png_with,
    raw_profile,
    tiff,
    xmp,
)

CASES = int(os.environ.get("IMAGE_MUTATIONS", "500"))
MAX_PIXELS = 1_000_000
SMALL = photo().resize((96, 66))

FILES = {
    "jpeg": jpeg(SMALL, exif=exif(6)),
    "jpeg progressive": jpeg(SMALL, progressive=True),
    "jpeg restart markers": jpeg(SMALL, restart_marker_blocks=2),
    "jpeg cmyk": jpeg(SMALL.convert("CMYK")),
    "jpeg xmp": jpeg_with(jpeg(SMALL), jpeg_xmp(xmp(6))),
    "jpeg without its end": jpeg(SMALL, exif=exif(6))[:-2],
    "jpeg progressive without its end": jpeg(SMALL, progressive=True)[:-2],
    "jpeg profile": jpeg(SMALL, icc_profile=display_p3()),
    "png": saved(SMALL, "PNG", exif=exif(6)),
    "png raw exif": png_with(
        saved(SMALL, "PNG"), *packed_text("Raw profile type exif", raw_profile(tiff(6)))
    ),
    "png xmp": png_with(saved(SMALL, "PNG"), *international_text("XML:com.adobe.xmp", xmp(6), packed=True)),
    "png palette": saved(SMALL.quantize(64), "PNG", transparency=3),
    "png profile": saved(SMALL.convert("RGBA"), "PNG", icc_profile=display_p3()),
    "webp": saved(SMALL, "WEBP", exif=exif(6), icc_profile=display_p3()),
    "webp lossless": saved(SMALL.convert("RGBA"), "WEBP", lossless=True),
    "webp animated": saved(SMALL, "WEBP", save_all=True, append_images=[SMALL.rotate(180)]),
}


def mutated(file: bytes, chance: random.Random) -> bytes:
    """Damages a file one to four times, mostly in its header: flips bits, sets bytes, changes or removes parts."""
    data = bytearray(file)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(len(data), 700) if chance.random() < 0.6 else len(data))
        length = chance.choice((1, 2, 4, 16, 200))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at : at + length] = chance.randbytes(length)
            case _:
                data = data[: max(at, 12)]
        data = data or bytearray(b"\0")
    return bytes(data)


def mutations(kind: str) -> list[bytes]:
    chance = random.Random(kind)
    damaged = [mutated(FILES[kind], chance) for _ in range(CASES)]
    return [repaired(file) if chance.random() < 0.8 else file for file in damaged]


def repaired(file: bytes) -> bytes:
    """Corrects the checksums of a PNG, so that the damage is not found by them; does not change other files."""
    at = len(PNG_SIGNATURE)
    if not file.startswith(PNG_SIGNATURE):
        return file
    data = bytearray(file)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(data)


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_decoded_or_refused_with_the_right_error(kind: str) -> None:
    read = 0
    for image in mutations(kind):
        try:
            decoded = decode(image, max_pixels=MAX_PIXELS, shrink_to=640)
        except (InvalidImageFormat, ImageTooLarge):
            continue
        read += 1
        assert decoded.pixels.dtype == np.uint8
        assert decoded.pixels.ndim == 3
        assert decoded.pixels.flags.c_contiguous
        assert decoded.width * decoded.height <= MAX_PIXELS
        sides = (math.ceil(decoded.height * decoded.scale), math.ceil(decoded.width * decoded.scale))
        assert decoded.pixels.shape == (*sides, 3)
    assert 0 < read < CASES, (
        "the share of decoded files shows that the damage is neither too small nor too large"
    )


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind.startswith("jpeg") and "cmyk" not in kind])
def test_the_slow_decoder_gives_the_pixels_of_the_fast_one(kind: str) -> None:
    compared = 0
    for image in mutations(kind):
        try:
            header = read_jpeg(image)
        except InvalidImageFormat:
            continue
        if not 0 < header.width * header.height <= MAX_PIXELS:
            continue
        fast = _with_opencv(header, 1)
        if fast is None:
            continue
        compared += 1
        assert np.array_equal(fast, _with_pillow(header, 1))
    assert compared or kind == "jpeg profile" or "without its end" in kind
