"""Tests of kinds of files by their first bytes: three are supported, and errors name the others."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from bentos.domain.errors import InvalidImageFormat
from bentos.imaging.kinds import sniff_content_type
from tests.unit.imaging.image_kinds import saved
from tests.unit.imaging.reading import read, small


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


def _box(brand: bytes, *compatible: bytes) -> bytes:
    """The first box of a file in the ISO base media format."""
    body = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return (4 + len(body)).to_bytes(4) + body + bytes(100)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo.jpg", b"no photo")
    return file.getvalue()


OTHERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gif": ("GIF", lambda: saved(small(), "GIF")),
    "bmp": ("BMP", lambda: saved(small(), "BMP")),
    "tiff": ("TIFF", lambda: saved(small(), "TIFF")),
    "tiff, big endian": ("TIFF", lambda: b"MM\0*" + bytes(100)),
    "avif": ("AVIF", lambda: saved(small(), "AVIF")),
    "avif as a general brand": ("AVIF", lambda: _box(b"mif1", b"mif1", b"avif")),
    "heic": ("HEIC", lambda: _box(b"heic", b"mif1", b"heic")),
    "heif": ("HEIC", lambda: _box(b"mif1", b"mif1", b"heic")),
    "heic sequence": ("HEIC", lambda: _box(b"hevc", b"msf1")),
    "mp4": ("MP4 video", lambda: _box(b"isom", b"isom", b"avc1")),
    "mov": ("QuickTime video", lambda: _box(b"qt  ")),
    "webm": ("WebM", lambda: b"\x1a\x45\xdf\xa3" + bytes(100)),
    "avi": ("AVI video", lambda: b"RIFF\0\0\0\0AVI LIST" + bytes(100)),
    "jpeg xl": ("JPEG XL", lambda: b"\xff\x0a" + bytes(100)),
    "jpeg xl in boxes": ("JPEG XL", lambda: b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100)),
    "jpeg 2000": ("JPEG 2000", lambda: saved(small(), "JPEG2000")),
    "ico": ("ICO", lambda: saved(small(), "ICO")),
    "pdf": ("PDF", lambda: saved(small(), "PDF")),
    "zip": ("ZIP", _zip),
    "gzip": ("gzip", lambda: b"\x1f\x8b\x08" + bytes(100)),
    "html": ("HTML", lambda: b"\n<!DOCTYPE html>\n<html><body>404"),
    "html without doctype": ("HTML", lambda: b"<html lang=en>"),
    "svg": ("SVG", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "svg after a declaration": ("SVG", lambda: b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- me -->\n<svg/>"),
    "xml": ("XML", lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
    "json": ("JSON", lambda: b'{"error": "not found"}'),
    "base64": ("Base64", lambda: b"/9j/4AAQSkZJRgABAQAAAQ"),
    "data url": ("Base64", lambda: b"data:image/png;base64,iVBORw0KGgo="),
    "text": ("plain text", lambda: b"a photo, honestly"),
    "text whose head ends inside a character": ("plain text", ("a" + "\u00e9" * 5000).encode),
    "empty": ("empty", lambda: b""),
    "tga": ("not a JPEG, PNG or WebP", lambda: saved(small(), "TGA")),
    "zeros": ("not a JPEG, PNG or WebP", lambda: bytes(1000)),
    "half a box": ("not a JPEG, PNG or WebP", lambda: b"\0\0\0\x18fty"),
}
"""By name: the expected message, and the first bytes of the file."""


@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_kind_is_refused_with_its_name_and_what_to_send(kind: str) -> None:
    name, make = OTHERS[kind]
    for call in (sniff_content_type, read):
        with pytest.raises(InvalidImageFormat) as caught:
            call(make())
        assert name in caught.value.message
        assert "Send a JPEG, PNG or WebP image" in caught.value.message


def test_a_head_that_is_slow_to_search_is_refused_at_once() -> None:
    for head in (
        b"<?xml" + b">" * 10_000,
        b"<?xml " + b"<sv" * 10_000,
        b" " * 10_000_000,
        b"\0\0\xff\xffftyp" * 1000,
    ):
        with pytest.raises(InvalidImageFormat):
            sniff_content_type(head)
