"""Makes EXIF and XMP blocks with an orientation, and image files that contain them."""

from __future__ import annotations

import struct
import zlib

from tests.unit.imaging.image_kinds import png_chunk

TYPES = {
    "BYTE": (1, "B"),
    "SHORT": (3, "H"),
    "LONG": (4, "I"),
    "SBYTE": (6, "b"),
    "SSHORT": (8, "h"),
    "SLONG": (9, "i"),
}
"""TIFF's integer types: number and format of `struct`."""


def tiff(value: int, *, kind: str = "SHORT", order: str = "<", count: int = 1) -> bytes:
    """A TIFF header with a directory of two tags: a text, then the orientation in the given integer type."""
    number, letter = TYPES[kind]
    values = struct.pack(f"{order}{count}{letter}", value, *[1] * (count - 1)) if count else b""
    outside = values if len(values) > 4 else b""
    place = struct.pack(f"{order}I", 38) if outside else values.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HIH", 42, 8, 2)
    text = struct.pack(f"{order}HHI", 0x010F, 2, 3) + b"me\0\0"
    return head + text + struct.pack(f"{order}HHI", 0x0112, number, count) + place + bytes(4) + outside


def xmp(value: int, *, element: bool = False, quote: str = '"') -> bytes:
    """An XMP packet with `tiff:Orientation` as an attribute or as an element."""
    attribute = "" if element else f" tiff:Orientation = {quote}{value}{quote}"
    content = f"<tiff:Orientation>{value}</tiff:Orientation>" if element else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f' xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attribute}>{content}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def jpeg_with(file: bytes, *segments: bytes) -> bytes:
    """The JPEG with APP1 segments of these bodies."""
    made = b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in segments)
    return file[:2] + made + file[2:]


def jpeg_exif(block: bytes) -> bytes:
    return b"Exif\0\0" + block


def jpeg_xmp(packet: bytes) -> bytes:
    return b"http://ns.adobe.com/xap/1.0/\0" + packet


def png_with(file: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with another chunk after its header."""
    return file[:33] + png_chunk(kind, body) + file[33:]


def raw_profile(block: bytes, name: str = "exif") -> bytes:
    """The block in hexadecimal, 36 bytes a line, as ImageMagick writes it into a PNG's text."""
    lines = [block[at : at + 36].hex() for at in range(0, len(block), 36)]
    return f"\n{name}\n{len(block):8d}\n{chr(10).join(lines)}\n".encode()


def text(keyword: str, content: bytes) -> tuple[bytes, bytes]:
    return b"tEXt", keyword.encode() + b"\0" + content


def packed_text(keyword: str, content: bytes) -> tuple[bytes, bytes]:
    return b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(content)


def international_text(keyword: str, content: bytes, *, packed: bool = False) -> tuple[bytes, bytes]:
    content = zlib.compress(content) if packed else content
    return b"iTXt", keyword.encode() + b"\0" + bytes([packed, 0]) + b"en\0title\0" + content


def webp_with(file: bytes, kind: bytes, body: bytes) -> bytes:
    """The WebP, one with a VP8X header, with another chunk at its end."""
    made = file[8:] + kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(made)) + made
