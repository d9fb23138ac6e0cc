"""Tests of images with many pixels: limits, JPEGs that are scaled down while decoding, and memory."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from bentos.domain.errors import ImageTooLarge, InvalidImageFormat
from bentos.imaging.jpeg import read_jpeg
from tests.unit.imaging.image_bombs import BOMBS, OVERSIZED
from tests.unit.imaging.image_kinds import exif, expected, jpeg, photo, saved, stored_turned
from tests.unit.imaging.reading import ENOUGH, SAVED_AS, read, small


@pytest.mark.parametrize("kind", OVERSIZED)
def test_more_pixels_than_the_limit_are_refused_from_the_header(kind: str) -> None:
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


def test_the_search_for_markers_hardly_grows_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    flatnonzero = np.flatnonzero

    def counting(found: np.ndarray) -> np.ndarray:
        searched.append(len(found))
        return flatnonzero(found)

    monkeypatch.setattr(np, "flatnonzero", counting)
    with pytest.raises(InvalidImageFormat):
        read_jpeg(BOMBS["jpeg, very many segments"]())
    assert 4000 < len(searched) < 5000
    assert sum(searched) < 32 << 20, "bytes; 256 KiB at each of the 4,096 markers would be 1 GiB"


@pytest.mark.parametrize("shrink_to", [1, 80, 160, 161, 319, 320, 640, 641, 1280, 5000])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_scaled_down_but_not_below_the_requested_size(shrink_to: int, mode: str) -> None:
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
def test_an_image_too_thin_to_scale_down_is_not_scaled(mode: str) -> None:
    decoded = read(jpeg(Image.new(mode, (5, 16480))), shrink_to=640)
    assert (decoded.pixels.shape, decoded.scale) == ((16480, 5, 3), 1.0)


def test_a_scaled_jpeg_is_turned_upright_too() -> None:
    decoded = read(jpeg(stored_turned(6), exif=exif(6)), shrink_to=640)
    assert decoded.pixels.shape == (443, 640, 3)
    assert (decoded.width, decoded.height, decoded.scale) == (1280, 886, 0.5)


ALL = 1280 * 886


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("max_pixels", "scale"), [(ALL, 1.0), (ALL - 1, 1 / 2), (ALL // 4 - 1, 1 / 4), (70_000, 1 / 8)]
)
@pytest.mark.parametrize("options", [{}, {"shrink_to": 1280}, {"shrink_to": 1, "min_scale": 1.0}])
def test_a_jpeg_above_the_limit_is_scaled_down_until_its_pixels_are_within_it(
    mode: str, max_pixels: int, scale: float, options: dict[str, float]
) -> None:
    decoded = read(jpeg(photo().convert(mode)), max_pixels=max_pixels, max_jpeg_pixels=ALL, **options)
    assert (decoded.width, decoded.height) == photo().size
    assert decoded.scale == decoded.largest_scale == scale
    assert decoded.pixels.shape[0] * decoded.pixels.shape[1] <= max_pixels


def test_a_jpeg_above_its_own_limit_is_refused() -> None:
    with pytest.raises(ImageTooLarge) as caught:
        read(jpeg(), max_pixels=100_000, max_jpeg_pixels=ALL - 1, shrink_to=160)
    assert caught.value.details == {"max_pixels": ALL - 1}


def test_a_jpeg_too_thin_to_be_scaled_down_within_the_limit_is_refused() -> None:
    strip = jpeg(Image.new("RGB", (5000, 9)))
    assert read(strip, max_pixels=45_000).scale == 1.0
    with pytest.raises(ImageTooLarge):
        read(strip, max_pixels=44_999, max_jpeg_pixels=ALL)


def _one_component_a_scan() -> bytes:
    """A sequential JPEG whose first scan contains only the first of three components."""
    whole = jpeg()
    at = whole.index(b"\xff\xda")
    length = int.from_bytes(whole[at + 2 : at + 4])
    return whole[:at] + b"\xff\xda\0\x08\1" + whole[at + 5 : at + 7] + b"\0\x3f\0" + whole[at + 2 + length :]


@pytest.mark.parametrize(
    "file",
    [
        lambda: jpeg(progressive=True),
        _one_component_a_scan,
        lambda: saved(photo(), "PNG"),
        lambda: saved(photo(), "WEBP"),
    ],
    ids=["progressive", "a scan for each component", "png", "webp"],
)
def test_images_that_need_memory_for_their_full_size_have_the_lower_limit(file: Callable[[], bytes]) -> None:
    with pytest.raises(ImageTooLarge) as caught:
        read(file(), max_pixels=ALL - 1, max_jpeg_pixels=10**9, shrink_to=160)
    assert caught.value.details == {"max_pixels": ALL - 1}


@pytest.mark.parametrize(
    ("min_scale", "scale"),
    [(0.0, 1 / 8), (0.125, 1 / 8), (0.126, 1 / 4), (0.3, 1 / 2), (0.51, 1.0), (1.0, 1.0)],
)
def test_a_jpeg_is_not_scaled_down_below_the_least_scale(min_scale: float, scale: float) -> None:
    decoded = read(jpeg(), shrink_to=1, min_scale=min_scale)
    assert (decoded.scale, decoded.largest_scale) == (scale, 1.0)
    assert read(jpeg(), shrink_to=640, min_scale=min_scale).scale == max(scale, 1 / 2)


REDUCED = """
import resource, sys
from bentos.imaging.decoding import decode
image = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decoded = decode(image, max_pixels=2_000_000, max_jpeg_pixels=30_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, decoded.scale)
"""


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_scaled_jpeg_takes_the_memory_of_its_scaled_pixels(mode: str) -> None:
    file = jpeg(Image.new(mode, (6000, 4000), "teal" if mode == "RGB" else (9, 9, 9, 9)), quality=60)
    child = subprocess.run(
        [sys.executable, "-c", REDUCED], input=file, capture_output=True, check=True, timeout=60
    )
    kibibytes, scale = child.stdout.split()
    assert float(scale) == 1 / 4
    assert int(kibibytes) < 30_000, "24 megapixels as BGR take 70,000 and as CMYK 94,000"
