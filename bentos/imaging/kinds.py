"""Recognises files by their first bytes: the three supported kinds, and others so that an error can name them."""

from __future__ import annotations

import re
from typing import NamedTuple

from bentos.domain.errors import InvalidImageFormat
from bentos.imaging.header import ContentType

_HEAD_BYTES = 4096
"""How many of a file's first bytes are examined."""

_SEND_INSTEAD = "Send a JPEG, PNG or WebP image"
_CONVERT = f"{_SEND_INSTEAD}: convert the file first."
_PHOTO_OF = f"{_SEND_INSTEAD}: a frame of the video, for example."
_EXPORT = f"{_SEND_INSTEAD}: export the page or drawing as one."
_NOT_A_PAGE = f"{_SEND_INSTEAD}: the file itself, not a page or an error message in its place."


class _Signature(NamedTuple):
    """A kind of file that is recognised by `magic` at `offset`."""

    offset: int
    magic: bytes
    name: str
    advice: str


_SIGNATURES = (
    _Signature(0, b"GIF87a", "a GIF image", _CONVERT),
    _Signature(0, b"GIF89a", "a GIF image", _CONVERT),
    _Signature(0, b"II*\0", "a TIFF image or a camera's raw file", _CONVERT),
    _Signature(0, b"MM\0*", "a TIFF image or a camera's raw file", _CONVERT),
    _Signature(0, b"II+\0", "a BigTIFF image", _CONVERT),
    _Signature(0, b"MM\0+", "a BigTIFF image", _CONVERT),
    _Signature(0, b"\xff\x0a", "a JPEG XL image", _CONVERT),
    _Signature(0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", _CONVERT),
    _Signature(0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image", _CONVERT),
    _Signature(0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", _CONVERT),
    _Signature(0, b"8BPS", "a Photoshop file", _EXPORT),
    _Signature(0, b"\0\0\1\0", "an ICO image", _CONVERT),
    _Signature(0, b"%PDF-", "a PDF document", _EXPORT),
    _Signature(0, b"%!PS", "a PostScript document", _EXPORT),
    _Signature(0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska video", _PHOTO_OF),
    _Signature(8, b"AVI LIST", "an AVI video", _PHOTO_OF),
    _Signature(0, b"\0\0\1\xba", "an MPEG video", _PHOTO_OF),
    _Signature(0, b"\0\0\1\xb3", "an MPEG video", _PHOTO_OF),
    _Signature(0, b"FLV\1", "a Flash video", _PHOTO_OF),
    _Signature(
        0, b"PK\3\4", "a ZIP archive or an office document", f"{_SEND_INSTEAD}: unpack the file first."
    ),
    _Signature(0, b"PK\5\6", "an empty ZIP archive", _CONVERT),
    _Signature(0, b"Rar!\x1a\7", "a RAR archive", f"{_SEND_INSTEAD}: unpack the file first."),
    _Signature(0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", f"{_SEND_INSTEAD}: unpack the file first."),
    _Signature(0, b"\x1f\x8b\x08", "a gzip file", f"{_SEND_INSTEAD}: unpack the file first."),
)

_BRANDS = {
    b"avif": ("an AVIF image", _CONVERT),
    b"avis": ("an AVIF image", _CONVERT),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"),
        ("a HEIC/HEIF image, as iPhones take them", f"{_SEND_INSTEAD}: let the phone export it as JPEG."),
    ),
    b"crx ": ("a camera's raw file", _CONVERT),
    b"qt  ": ("a QuickTime video (MOV)", _PHOTO_OF),
}
"""Kinds of the ISO base media format (ISO/IEC 14496-12) by brand, the more specific first. Any other is a video."""

_TEXTS = (
    (re.compile(rb"<!doctype html|<html|<head|<body", re.IGNORECASE), "an HTML page", _NOT_A_PAGE),
    (
        re.compile(rb"<svg|<\?xml[^>]{0,200}>.{0,2000}<svg[\s/>]", re.IGNORECASE | re.DOTALL),
        "an SVG drawing",
        _EXPORT,
    ),
    (re.compile(rb"<\?xml", re.IGNORECASE), "an XML document", _NOT_A_PAGE),
    (re.compile(rb"\{|\["), "JSON text", _NOT_A_PAGE),
    (
        re.compile(rb"data:image/|/9j/|iVBORw0KGgo|UklGR"),
        "an image in Base64",
        f"{_SEND_INSTEAD}: its bytes, decoded.",
    ),
)
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_UNKNOWN = f"The file is not a JPEG, PNG or WebP image. {_CONVERT}"
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")


def sniff_content_type(image: bytes) -> ContentType:
    """The content type of a JPEG, PNG or WebP file, by its first bytes.

    Raises `InvalidImageFormat` for every other file; the message says what the file looks like and what to send.
    """
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        return "image/webp"
    raise InvalidImageFormat(_refusal(image[:_HEAD_BYTES]))


def _refusal(head: bytes) -> str:
    if not head:
        return f"The image is empty. {_SEND_INSTEAD}."
    known = _by_signature(head) or _by_brand(head) or _by_text(head)
    if known is None:
        return _UNKNOWN
    name, advice = known
    return f"The file looks like {name}. {advice}"


def _by_signature(head: bytes) -> tuple[str, str] | None:
    for offset, magic, name, advice in _SIGNATURES:
        if head.startswith(magic, offset):
            return name, advice
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "a BMP image", _CONVERT
    return None


def _by_brand(head: bytes) -> tuple[str, str] | None:
    if head[4:8] != b"ftyp":
        return None
    box = head[8 : max(12, int.from_bytes(head[:4]))]
    brands = {box[at : at + 4] for at in range(0, len(box), 4)}
    return next((kind for brand, kind in _BRANDS.items() if brand in brands), ("an MP4 video", _PHOTO_OF))


def _by_text(head: bytes) -> tuple[str, str] | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, name, advice in _TEXTS:
        if pattern.match(text):
            return name, advice
    return ("plain text", _NOT_A_PAGE) if _is_plain_text(text) else None


def _is_plain_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        if error.end < len(text):  # else the head ends inside a character
            return False
    return bool(text) and all(byte >= ord(" ") or byte in _TEXT_CONTROLS for byte in text)
