"""Tests of the decoder: supported files, orientation, colours, and refused files."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

from bentos.domain.errors import InvalidImageFormat
from bentos.imaging.decoding import _with_opencv, _with_pillow
from bentos.imaging.jpeg import read_jpeg
from bentos.imaging.suppress_warnings import suppress_warnings
from tests.unit.imaging.image_bombs import with_scans
from tests.unit.imaging.image_kinds import (
    KINDS,
    expected,
    jpeg,
    png,
    png_chunk,
    saved,
)
from tests.unit.imaging.reading import read, small

LOSSLESS = {
    "png",
    "png 16 bits",
    "png grey",
    "png grey 16 bits",
    "png rgba",
    "png grey + alpha",
    "png interlaced",
} | {
    "png broken profile",
    "apng",
    "webp lossless",
    "webp alpha",
    "webp animated",
}


@cache
def file_of(kind: str) -> bytes:
    return KINDS[kind][1]()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_picture(kind: str) -> None:
    wanted = expected(KINDS[kind][0])
    decoded = read(file_of(kind))
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == wanted.shape
    assert (decoded.height, decoded.width, decoded.scale) == (*wanted.shape[:2], 1.0)
    difference = np.abs(decoded.pixels.astype(np.int16) - wanted)
    assert difference.mean() <= (0 if kind in LOSSLESS else 5), "levels of 255"


WHOLE: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg(small()),
    "jpeg progressive": lambda: jpeg(small(), progressive=True),
    "jpeg cmyk": lambda: jpeg(small().convert("CMYK")),
    "jpeg with a preview in its exif": lambda: jpeg(
        small(), exif=b"Exif\0\0" + jpeg(small().resize((40, 30)))
    ),
    "png": lambda: saved(small(), "PNG"),
    "webp": lambda: saved(small(), "WEBP"),
    "webp lossless": lambda: saved(small(), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_file_is_refused_unless_its_pixels_are_complete(kind: str) -> None:
    whole = WHOLE[kind]()
    wanted = read(whole)
    assert wanted.width == 160
    cuts = {*range(1, len(whole), max(1, len(whole) // 300)), *range(len(whole) - 40, len(whole))}
    accepted = {}
    for cut in sorted(cuts):
        try:
            accepted[len(whole) - cut] = read(whole[:cut])
        except InvalidImageFormat:
            continue
    assert sorted(accepted) == ([1, 2] if kind.startswith("jpeg") else []), "bytes of JPEG's end marker"
    for decoded in accepted.values():
        assert np.array_equal(decoded.pixels, wanted.pixels)


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    whole = bytearray(saved(small(), "PNG"))
    whole[len(whole) // 2] ^= 1
    with pytest.raises(InvalidImageFormat, match="damaged"):
        read(bytes(whole))


@pytest.mark.parametrize("frame", [0xC3, 0xC9, 0xCA])
def test_arithmetic_and_lossless_jpegs_are_refused_with_a_reason(frame: int) -> None:
    with pytest.raises(InvalidImageFormat, match="arithmetic"):
        read(jpeg(small()).replace(b"\xff\xc0", bytes([0xFF, frame]), 1))


def test_a_progressive_jpeg_of_very_many_scans_is_refused() -> None:
    assert read(with_scans(16)).width == 160
    with pytest.raises(InvalidImageFormat):
        read(with_scans(1000))


SLOW_JPEGS = (
    "jpeg rgb, not ycbcr",
    "jpeg cmyk, no profile",
    "jpeg cmyk, profile",
    "jpeg without its end marker",
    "jpeg progressive without its end marker",
)


@pytest.mark.parametrize("kind", SLOW_JPEGS)
def test_pillow_decodes_what_opencv_would_decode_wrongly(kind: str) -> None:
    assert read_jpeg(file_of(kind)).plain_jpeg is None


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.startswith("jpeg") and kind not in SLOW_JPEGS]
)
@pytest.mark.parametrize("divisor", [1, 2, 8])
def test_the_fast_path_gives_the_pixels_of_the_slow_one(kind: str, divisor: int) -> None:
    header = read_jpeg(file_of(kind))
    assert header.plain_jpeg is not None
    fast = _with_opencv(header, divisor)
    if fast is None:
        assert kind in {"jpeg display p3", "jpeg adobe rgb", "jpeg grey, linear profile"}
    else:
        assert np.array_equal(fast, _with_pillow(header, divisor))


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    for pixels in (ramp, np.dstack([ramp] * 3)):
        decoded = read(bytes(cv2.imencode(".png", pixels)[1]))
        assert np.abs(decoded.pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_one_bit_per_pixel_is_black_and_white() -> None:
    stripes = Image.fromarray(np.tile(np.array([[True, False]]), (8, 4)))
    assert stripes.mode == "1"
    assert read(saved(stripes, "PNG")).pixels[0, :4, 1].tolist() == [255, 0, 255, 0]


@pytest.mark.parametrize(
    ("depth", "colour", "key", "row"),
    [
        (8, 0, b"\0\x64", bytes([100, 50])),
        (8, 2, b"\0\x64\0\x64\0\x64", bytes([100] * 3 + [50] * 3)),
        (16, 0, b"\x64\0", bytes([100, 0, 50, 0])),
    ],
)
def test_the_transparent_colour_of_a_png_becomes_white(
    depth: int, colour: int, key: bytes, row: bytes
) -> None:
    header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    decoded = read(png(header, zlib.compress(b"\0" + row), (b"tRNS", key)))
    assert decoded.pixels[0].tolist() == [[255] * 3, [50] * 3]


def test_half_transparent_pixels_are_blended_with_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert read(saved(image, "PNG")).pixels[0, 0].tolist() == [127] * 3


def test_a_grey_picture_with_a_colour_profile_keeps_its_greys() -> None:
    from tests.unit.imaging.icc_profiles import adobe_rgb, srgb_by_hand

    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(16, axis=0))
    for kind in ("PNG", "JPEG"):
        plain = read(saved(ramp, kind)).pixels.astype(int)
        assert np.abs(read(saved(ramp, kind, icc_profile=srgb_by_hand())).pixels - plain).max() <= 2
        assert np.abs(read(saved(ramp, kind, icc_profile=adobe_rgb())).pixels - plain).max() <= 16


def test_a_profile_for_another_colour_mode_is_ignored() -> None:
    from tests.unit.imaging.icc_profiles import cmyk_press

    plain = read(jpeg(small())).pixels
    assert np.array_equal(read(jpeg(small(), icc_profile=cmyk_press())).pixels, plain)


def test_a_broken_metadata_chunk_does_not_affect_a_png() -> None:
    whole = saved(small(), "PNG")
    after_header = 8 + 25
    for kind, body in (
        (b"zTXt", b"k\0\0broken"),
        (b"iCCP", b"x"),
        (b"acTL", b""),
        (b"eXIf", b"?"),
        (b"gAMA", b""),
    ):
        spoilt = whole[:after_header] + png_chunk(kind, body) + whole[after_header:]
        assert np.array_equal(read(spoilt).pixels, read(whole).pixels)


def test_decoding_in_many_threads_gives_the_same_pixels_as_in_one() -> None:
    kinds = ["jpeg", "jpeg display p3", "png rgba", "webp", "jpeg cmyk, profile"] * 3
    files = [file_of(kind) for kind in kinds]
    with ThreadPoolExecutor(8) as threads:
        for alone, together in zip(map(read, files), threads.map(read, files), strict=True):
            assert np.array_equal(alone.pixels, together.pixels)


def test_warnings_are_enabled_again_after_the_last_thread() -> None:
    before = list(warnings.filters)
    with suppress_warnings(), suppress_warnings():
        warnings.warn("not heard", stacklevel=1)
    assert warnings.filters == before
    with pytest.raises(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_a_file_is_read_whatever_its_camera_metadata_contain() -> None:
    endless = (
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 0x010F, 2, 0xFFFFFF, 0) * 5000
    )
    assert read(jpeg(small(), exif=endless[:65000])).width == 160
