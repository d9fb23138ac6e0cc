"""One photo in every kind of file, as input for the tests of the decoder."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import insightface
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.unit.imaging import icc_profiles

SIX_PEOPLE = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
STRIP = 60
"""Rows at the top of the photo, above all heads."""


@cache
def photo() -> Image.Image:
    """Six people, 1280 x 886, sRGB."""
    with Image.open(SIX_PEOPLE) as image:
        return image.convert("RGB")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(image: Image.Image | None = None, **options: object) -> bytes:
    return saved(image or photo(), "JPEG", **({"quality": 95} | options))


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def stored_turned(orientation: int, upright: Image.Image | None = None) -> Image.Image:
    """The picture, the photo by default, as a rotated camera stores it, so that `orientation` turns it upright."""
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    upright = upright or photo()
    return upright if turn is None else upright.transpose(turn)


def in_profile(profile: bytes) -> Image.Image:
    """The photo in the colours of an RGB profile: it looks the same but has other values."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(photo(), ImageCms.createProfile("sRGB"), target)
    assert converted is not None
    return converted


def in_linear_grey() -> Image.Image:
    encoded = np.asarray(photo().convert("L")) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return Image.fromarray(np.rint(linear * 255).astype(np.uint8))


def with_a_clear_strip(image: Image.Image) -> Image.Image:
    """The image with fully transparent red in its top rows."""
    clear = image.convert("RGBA")
    clear.paste((255, 0, 0, 0), (0, 0, image.width, STRIP))
    return clear


def deep(image: Image.Image) -> bytes:
    """A PNG with 16 bits per channel."""
    pixels = np.asarray(image).astype(np.uint16) * 257
    return bytes(cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1])


@cache
def in_palette(colours: int) -> Image.Image:
    """The photo with this number of colours, dithered."""
    return photo().quantize(palette=photo().resize((320, 222)).quantize(colours, kmeans=2))


def palette_with_transparency() -> bytes:
    image = in_palette(255).copy()
    image.putpalette([*(image.getpalette() or [])[: 255 * 3], 255, 0, 0])
    image.paste(255, (0, 0, image.width, STRIP))
    return saved(image, "PNG", transparency=255)


def interlaced(image: Image.Image) -> bytes:
    """A PNG in the seven passes of Adam7, which Pillow can read but not write."""
    pixels = np.asarray(image)
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = b"".join(
        b"\0" + row.tobytes() for y, x, down, right in passes for row in pixels[y::down, x::right]
    )
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return png(header, zlib.compress(rows))


def png(header: bytes, data: bytes, *others: tuple[bytes, bytes]) -> bytes:
    """A PNG from the body of its header and its packed rows."""
    chunks = [(b"IHDR", header), *others, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def moving(kind: str) -> bytes:
    """Two frames: the photo, then its negative."""
    negative = Image.eval(photo(), lambda level: 255 - level)
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    return saved(photo(), kind, save_all=True, append_images=[negative], duration=100, **options)


def inks_with_profile() -> bytes:
    inks = Image.fromarray(icc_profiles.srgb_to_inks(np.asarray(photo())), "CMYK")
    return jpeg(inks, icc_profile=icc_profiles.cmyk_press())


def two_pictures() -> bytes:
    negative = Image.eval(photo(), lambda level: 255 - level)
    return saved(photo(), "MPO", save_all=True, append_images=[negative], quality=95)


GREY = "grey"
COLOUR = "colour"
STRIPPED = "stripped"
STRIPPED_GREY = "stripped grey"

KINDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg": (COLOUR, jpeg),
    "jpeg progressive": (COLOUR, lambda: jpeg(progressive=True)),
    "jpeg 4:4:4": (COLOUR, lambda: jpeg(subsampling=0)),
    "jpeg with restart markers": (COLOUR, lambda: jpeg(restart_marker_rows=1)),
    "jpeg rgb, not ycbcr": (COLOUR, lambda: jpeg(keep_rgb=True)),
    "jpeg grey": (GREY, lambda: jpeg(photo().convert("L"))),
    "jpeg grey, linear profile": (
        GREY,
        lambda: jpeg(in_linear_grey(), icc_profile=icc_profiles.grey_gamma_1(), quality=99),
    ),
    "jpeg srgb profile": (COLOUR, lambda: jpeg(icc_profile=icc_profiles.srgb_by_hand())),
    "jpeg display p3": (
        COLOUR,
        lambda: jpeg(in_profile(icc_profiles.display_p3()), icc_profile=icc_profiles.display_p3()),
    ),
    "jpeg adobe rgb": (
        COLOUR,
        lambda: jpeg(in_profile(icc_profiles.adobe_rgb()), icc_profile=icc_profiles.adobe_rgb()),
    ),
    "jpeg broken profile": (COLOUR, lambda: jpeg(icc_profile=b"no profile at all" * 20)),
    "jpeg cmyk, no profile": (COLOUR, lambda: jpeg(photo().convert("CMYK"))),
    "jpeg cmyk, profile": (COLOUR, inks_with_profile),
    "jpeg mpo, two pictures": (COLOUR, two_pictures),
    "jpeg with bytes after its end": (COLOUR, lambda: jpeg() + b"a film of the moment" * 1000),
    "jpeg without its end marker": (COLOUR, lambda: jpeg()[:-2]),
    "jpeg progressive without its end marker": (COLOUR, lambda: jpeg(progressive=True)[:-2]),
    "png": (COLOUR, lambda: saved(photo(), "PNG")),
    "png 16 bits": (COLOUR, lambda: deep(photo())),
    "png grey": (GREY, lambda: saved(photo().convert("L"), "PNG")),
    "png grey 16 bits": (GREY, lambda: deep(photo().convert("L"))),
    "png palette": (COLOUR, lambda: saved(in_palette(256), "PNG")),
    "png palette, transparency": (STRIPPED, palette_with_transparency),
    "png rgba": (STRIPPED, lambda: saved(with_a_clear_strip(photo()), "PNG")),
    "png grey + alpha": (
        STRIPPED_GREY,
        lambda: saved(with_a_clear_strip(photo().convert("L")).convert("LA"), "PNG"),
    ),
    "png interlaced": (COLOUR, lambda: interlaced(photo())),
    "png display p3": (
        COLOUR,
        lambda: saved(in_profile(icc_profiles.display_p3()), "PNG", icc_profile=icc_profiles.display_p3()),
    ),
    "png broken profile": (COLOUR, lambda: saved(photo(), "PNG", icc_profile=b"no profile")),
    "apng": (COLOUR, lambda: moving("PNG")),
    "webp": (COLOUR, lambda: saved(photo(), "WEBP", quality=95)),
    "webp lossless": (COLOUR, lambda: saved(photo(), "WEBP", lossless=True)),
    "webp alpha": (STRIPPED, lambda: saved(with_a_clear_strip(photo()), "WEBP", lossless=True, exact=True)),
    "webp animated": (COLOUR, lambda: moving("WEBP")),
    "webp display p3": (
        COLOUR,
        lambda: saved(
            in_profile(icc_profiles.display_p3()), "WEBP", quality=95, icc_profile=icc_profiles.display_p3()
        ),
    ),
}
"""By name: the expected picture (the photo, in grey, with a white strip at its top), and the function that makes it."""


def expected(shows: str) -> NDArray[np.uint8]:
    """The expected pixels, (h, w, 3) BGR."""
    image = photo().convert("L").convert("RGB") if "grey" in shows else photo()
    if "stripped" in shows:
        image = image.copy()
        image.paste("white", (0, 0, image.width, STRIP))
    return np.asarray(image)[..., ::-1]
