"""Tests of the orientation in EXIF (every integer type), XMP and PNG texts, by the upright pixels."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from bentos.imaging.orientation import exif_orientation, xmp_orientation
from tests.unit.imaging.image_kinds import exif, jpeg, saved, stored_turned
from tests.unit.imaging.metadata_blocks import (
    TYPES,
    international_text,
    jpeg_exif,
    jpeg_with,
    jpeg_xmp,
    packed_text,
    png_with,
    raw_profile,
    text,
    tiff,
    webp_with,
    xmp,
)
from tests.unit.imaging.reading import SAVED_AS, is_upright, quarter, read, small


@pytest.mark.parametrize("saved_as", SAVED_AS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_are_turned_upright(saved_as: str, orientation: int) -> None:
    kind, options = SAVED_AS[saved_as]
    assert is_upright(
        read(saved(stored_turned(orientation, quarter()), kind, exif=exif(orientation), **options))
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("count", [1, 3])
def test_the_orientation_is_read_in_every_integer_type_and_byte_order(
    kind: str, order: str, count: int
) -> None:
    block = tiff(6, kind=kind, order=order, count=count)
    assert exif_orientation(block) == exif_orientation(b"Exif\0\0" + block) == 6


def _jpeg(orientation: int, *segments: bytes) -> bytes:
    return jpeg_with(jpeg(stored_turned(orientation, quarter())), *segments)


def _png(orientation: int, *chunks: tuple[bytes, bytes]) -> bytes:
    file = saved(stored_turned(orientation, quarter()), "PNG")
    for chunk in reversed(chunks):
        file = png_with(file, *chunk)
    return file


def _webp(orientation: int, *chunks: tuple[bytes, bytes]) -> bytes:
    # The colour profile makes Pillow write the extended header, without which a WebP has no metadata.
    file = saved(stored_turned(orientation, quarter()), "WEBP", lossless=True, icc_profile=b"none")
    for chunk in chunks:
        file = webp_with(file, *chunk)
    return file


_RAW_EXIF, _XMP = "Raw profile type exif", "XML:com.adobe.xmp"
TURNED: dict[str, Callable[[], bytes]] = {
    "jpeg, exif LONG": lambda: _jpeg(6, jpeg_exif(tiff(6, kind="LONG"))),
    "jpeg, xmp attribute": lambda: _jpeg(8, jpeg_xmp(xmp(8))),
    "jpeg, xmp element": lambda: _jpeg(3, jpeg_xmp(xmp(3, element=True))),
    "jpeg, xmp in single quotes": lambda: _jpeg(5, jpeg_xmp(xmp(5, quote="'"))),
    "jpeg, exif before xmp": lambda: _jpeg(6, jpeg_xmp(xmp(3)), jpeg_exif(tiff(6))),
    "jpeg, exif upright before xmp": lambda: _jpeg(1, jpeg_exif(tiff(1)), jpeg_xmp(xmp(3))),
    "jpeg, exif without orientation, xmp": lambda: _jpeg(7, jpeg_exif(tiff(0)), jpeg_xmp(xmp(7))),
    "png, eXIf BYTE": lambda: _png(6, (b"eXIf", tiff(6, kind="BYTE"))),
    "png, xmp": lambda: _png(6, international_text(_XMP, xmp(6))),
    "png, xmp packed": lambda: _png(8, international_text(_XMP, xmp(8, element=True), packed=True)),
    "png, raw exif packed": lambda: _png(6, packed_text(_RAW_EXIF, raw_profile(jpeg_exif(tiff(6))))),
    "png, raw exif as text": lambda: _png(3, text(_RAW_EXIF, raw_profile(tiff(3, order=">")))),
    "png, raw exif as international text": lambda: _png(
        5, international_text(_RAW_EXIF, raw_profile(tiff(5)), packed=True)
    ),
    "png, raw APP1": lambda: _png(
        8, packed_text("Raw profile type APP1", raw_profile(jpeg_exif(tiff(8)), "APP1"))
    ),
    "png, eXIf before raw exif before xmp": lambda: _png(
        6,
        international_text(_XMP, xmp(3)),
        text(_RAW_EXIF, raw_profile(tiff(4))),
        (b"eXIf", tiff(6)),
    ),
    "png, raw exif before xmp": lambda: _png(
        4, international_text(_XMP, xmp(3)), text(_RAW_EXIF, raw_profile(tiff(4)))
    ),
    "webp, exif SLONG": lambda: _webp(6, (b"EXIF", tiff(6, kind="SLONG"))),
    "webp, xmp": lambda: _webp(6, (b"XMP ", xmp(6))),
    "webp, exif before xmp": lambda: _webp(8, (b"XMP ", xmp(3)), (b"EXIF", tiff(8, kind="LONG"))),
}


@pytest.mark.parametrize("kind", TURNED)
def test_a_file_is_turned_upright_wherever_its_orientation_is_stored(kind: str) -> None:
    assert is_upright(read(TURNED[kind]()))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        tiff(9),
        tiff(0),
        tiff(6, count=0),
        tiff(6, kind="LONG", count=3)[:38],
        b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 5, 1, 6, 0, 0),
        b"nonsense" * 10,
    ],
)
def test_an_invalid_orientation_is_ignored(block: bytes) -> None:
    assert exif_orientation(block) is None
    assert read(jpeg(small(), exif=b"Exif\0\0" + block)).width == 160


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        xmp(0),
        xmp(9),
        b"tiff:Orientation",
        b'tiff:Orientation="66"',
        b"<tiff:Orientation>" + b" " * 100_000 + b"6<",
        b"tiff:Orientation=" * 100_000,
        b" " * (1 << 20) + xmp(6),
    ],
)
def test_an_xmp_packet_without_a_valid_orientation_is_ignored(packet: bytes) -> None:
    assert xmp_orientation(packet) is None


@pytest.mark.parametrize("chunk", [text, packed_text, international_text])
@pytest.mark.parametrize(
    "content", [b"", b"\nexif\n", b"\nexif\n    4\nabc", b"\nexif\n    4\nzz", b"\xff" * 99]
)
def test_an_invalid_raw_profile_is_ignored(
    chunk: Callable[[str, bytes], tuple[bytes, bytes]], content: bytes
) -> None:
    assert read(png_with(saved(small(), "PNG"), *chunk(_RAW_EXIF, content))).width == 160
