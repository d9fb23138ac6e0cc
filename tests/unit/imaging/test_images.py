"""Image files to pixels: what is read, how it is turned and coloured, and what is refused."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

from bentos.domain.errors import ImageTooLarge, InvalidImageFormat
from bentos.imaging.decoding import DecodedImage, _with_opencv, _with_pillow, decode
from bentos.imaging.jpeg import read_jpeg
from bentos.imaging.kinds import sniff_content_type
from bentos.imaging.orientation import exif_orientation
from bentos.imaging.suppress_warnings import suppress_warnings
from tests.unit.imaging.image_bombs import BOMBS, OVERSIZED, with_scans
from tests.unit.imaging.image_kinds import (
    KINDS,
    exif,
    expected,
    jpeg,
    photo,
    png,
    png_chunk,
    saved,
    stored_turned,
)

ENOUGH = 50_000_000
SAVED_AS: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"quality": 95}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
}
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
def small() -> Image.Image:
    return photo().resize((160, 111))


@cache
def file_of(kind: str) -> bytes:
    return KINDS[kind][1]()


def read(image: bytes, **options: int) -> DecodedImage:
    return decode(image, **({"max_pixels": ENOUGH} | options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_picture(kind: str) -> None:
    wanted = expected(KINDS[kind][0])
    decoded = read(file_of(kind))
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == wanted.shape
    assert (decoded.height, decoded.width, decoded.scale) == (*wanted.shape[:2], 1.0)
    difference = np.abs(decoded.pixels.astype(np.int16) - wanted)
    assert difference.mean() <= (0 if kind in LOSSLESS else 5), "levels of 255"


@pytest.mark.parametrize("saved_as", SAVED_AS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_come_out_upright(saved_as: str, orientation: int) -> None:
    kind, options = SAVED_AS[saved_as]
    decoded = read(saved(stored_turned(orientation), kind, exif=exif(orientation), **options))
    assert (decoded.width, decoded.height) == photo().size
    assert np.abs(decoded.pixels.astype(np.int16) - expected("colour")).mean() < 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_read_in_either_byte_order(order: str) -> None:
    mark = b"II" if order == "<" else b"MM"
    tiff = mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    assert exif_orientation(tiff) == exif_orientation(b"Exif\0\0" + tiff) == 6


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 9, 0, 0),
        b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 0, 0, 0),
        b"nonsense" * 10,
    ],
)
def test_an_orientation_that_makes_no_sense_turns_nothing(block: bytes) -> None:
    assert exif_orientation(block) is None
    assert read(jpeg(small(), exif=b"Exif\0\0" + block)).width == 160


@pytest.mark.parametrize(
    ("image", "content_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_the_content_type_is_that_of_the_first_bytes(image: bytes, content_type: str) -> None:
    assert sniff_content_type(image) == content_type


def other_formats() -> dict[str, bytes]:
    others = {
        kind: saved(small(), kind) for kind in ("GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "TGA", "PDF")
    }
    return others | {
        "empty": b"",
        "text": b"a photo, honestly",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "avi": b"RIFF\0\0\0\0AVI " + bytes(100),
        "zeros": bytes(1000),
    }


@pytest.mark.parametrize("kind", other_formats())
def test_nothing_but_jpeg_png_and_webp_opens(kind: str) -> None:
    for call in (sniff_content_type, read):
        with pytest.raises(InvalidImageFormat):
            call(other_formats()[kind])


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
def test_a_file_cut_short_anywhere_is_refused_unless_its_picture_is_complete(kind: str) -> None:
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


@pytest.mark.parametrize("kind", OVERSIZED)
def test_more_pixels_than_the_limit_are_refused_by_the_header_alone(kind: str) -> None:
    with pytest.raises(ImageTooLarge) as caught:
        read(OVERSIZED[kind](16383, 16383))
    assert caught.value.details == {"max_pixels": ENOUGH}


@pytest.mark.parametrize("saved_as", SAVED_AS)
def test_an_image_of_exactly_the_limit_is_read(saved_as: str) -> None:
    kind, options = SAVED_AS[saved_as]
    image = saved(small(), kind, **options)
    assert read(image, max_pixels=160 * 111).width == 160
    with pytest.raises(ImageTooLarge):
        read(image, max_pixels=160 * 111 - 1)


MEASURED = """
import resource, sys
from bentos.domain.errors import FaceSearchError
from bentos.imaging.decoding import decode
image = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(image, max_pixels=4_000_000)
except FaceSearchError:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_small_file_takes_more_memory_than_its_pixels_may(bomb: str) -> None:
    image = BOMBS[bomb]()
    assert len(image) < 3 << 20
    child = subprocess.run(
        [sys.executable, "-W", "always", "-c", MEASURED],
        input=image,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert int(child.stdout) < 80_000, (
        "KiB more than before; 4 megapixels take 12,000 as BGR and 16,000 as RGBA"
    )
    assert child.stderr == b""


def test_a_progressive_jpeg_of_very_many_scans_is_refused() -> None:
    assert read(with_scans(16)).width == 160
    with pytest.raises(InvalidImageFormat):
        read(with_scans(1000))


@pytest.mark.parametrize("shrink_to", [1, 80, 160, 161, 319, 320, 640, 641, 1280, 5000])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_reduced_to_no_less_than_was_asked(shrink_to: int, mode: str) -> None:
    decoded = read(jpeg(photo().convert(mode)), shrink_to=shrink_to)
    height, width = decoded.pixels.shape[:2]
    assert (decoded.width, decoded.height) == photo().size
    assert (height, width) == (math.ceil(886 * decoded.scale), math.ceil(1280 * decoded.scale))
    assert max(height, width) >= min(shrink_to, 1280)
    assert max(height, width) < 2 * shrink_to or decoded.scale in {1.0, 0.125}
    smaller = np.asarray(
        Image.fromarray(expected("colour" if mode != "L" else "grey")).resize((width, height), 4)
    )
    assert np.abs(decoded.pixels.astype(np.int16) - smaller).mean() < 4


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_strip_too_thin_to_reduce_is_left_as_it_is(mode: str) -> None:
    decoded = read(jpeg(Image.new(mode, (5, 16480))), shrink_to=640)
    assert (decoded.pixels.shape, decoded.scale) == ((16480, 5, 3), 1.0)


def test_a_reduced_jpeg_is_turned_too() -> None:
    decoded = read(jpeg(stored_turned(6), exif=exif(6)), shrink_to=640)
    assert decoded.pixels.shape == (443, 640, 3)
    assert (decoded.width, decoded.height, decoded.scale) == (1280, 886, 0.5)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.startswith("jpeg") and read_jpeg(KINDS[kind][1]()).plain_jpeg]
)
@pytest.mark.parametrize("divisor", [1, 2, 8])
def test_the_fast_path_gives_the_pixels_of_the_slow_one(kind: str, divisor: int) -> None:
    header = read_jpeg(file_of(kind))
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


def test_one_bit_a_pixel_is_black_and_white() -> None:
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
def test_the_one_colour_that_a_png_calls_transparent_is_white(
    depth: int, colour: int, key: bytes, row: bytes
) -> None:
    header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    decoded = read(png(header, zlib.compress(b"\0" + row), (b"tRNS", key)))
    assert decoded.pixels[0].tolist() == [[255] * 3, [50] * 3]


def test_half_transparent_is_half_way_to_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert read(saved(image, "PNG")).pixels[0, 0].tolist() == [127] * 3


def test_a_grey_picture_under_a_colour_profile_keeps_its_greys() -> None:
    from tests.unit.imaging.icc_profiles import adobe_rgb, srgb_by_hand

    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(16, axis=0))
    for kind in ("PNG", "JPEG"):
        plain = read(saved(ramp, kind)).pixels.astype(int)
        assert np.abs(read(saved(ramp, kind, icc_profile=srgb_by_hand())).pixels - plain).max() <= 2
        assert np.abs(read(saved(ramp, kind, icc_profile=adobe_rgb())).pixels - plain).max() <= 16


def test_a_profile_of_other_inks_than_the_picture_is_ignored() -> None:
    from tests.unit.imaging.icc_profiles import cmyk_press

    plain = read(jpeg(small())).pixels
    assert np.array_equal(read(jpeg(small(), icc_profile=cmyk_press())).pixels, plain)


def test_no_chunk_beside_the_picture_can_spoil_a_png() -> None:
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


def test_decoding_in_many_threads_gives_what_one_gives() -> None:
    kinds = ["jpeg", "jpeg display p3", "png rgba", "webp", "jpeg cmyk, profile"] * 3
    files = [file_of(kind) for kind in kinds]
    with ThreadPoolExecutor(8) as threads:
        for alone, together in zip(map(read, files), threads.map(read, files), strict=True):
            assert np.array_equal(alone.pixels, together.pixels)


def test_silence_ends_with_the_last_thread_inside() -> None:
    before = list(warnings.filters)
    with suppress_warnings(), suppress_warnings():
        warnings.warn("not heard", stacklevel=1)
    assert warnings.filters == before
    with pytest.raises(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_a_file_is_read_whatever_it_says_of_its_camera() -> None:
    endless = (
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 0x010F, 2, 0xFFFFFF, 0) * 5000
    )
    assert read(jpeg(small(), exif=endless[:65000])).width == 160
