"""Tests the reductions of an image."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.pipeline.pyramid import ImagePyramid
from tests.unit.pipeline.shown import shown


def _slope(width: int, height: int) -> np.ndarray:
    """An image whose channels hold the x and the y of each pixel, so that a reduction shows where its pixels were."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def _shrinking(factor: float) -> np.ndarray:
    return np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]])


@pytest.mark.parametrize("factor", [1.0, 0.7, 0.5, 0.3, 0.25, 0.13, 0.1])
@pytest.mark.parametrize(("width", "height"), [(240, 240), (237, 241)])
def test_a_pixel_stays_where_it_is_however_far_the_image_is_reduced(
    factor: float, width: int, height: int
) -> None:
    size = int(200 * factor)
    got = shown(_slope(width, height)).warp(_shrinking(factor), size).astype(float)
    expected = np.arange(size) / factor
    inner = slice(1, size - 1)
    np.testing.assert_allclose(got[inner, inner, 0], np.tile(expected, (size, 1))[inner, inner], atol=1.1)
    np.testing.assert_allclose(got[inner, inner, 1].T, np.tile(expected, (size, 1))[inner, inner], atol=1.1)


def test_coordinates_are_those_of_the_photo_when_the_decoder_has_reduced_it() -> None:
    pixels = _slope(120, 120)
    full = shown(pixels).warp(_shrinking(0.25), 30)
    reduced = shown(pixels, scale=0.5).warp(_shrinking(0.125), 30)
    np.testing.assert_array_equal(reduced, full)


def test_noise_that_is_shrunk_becomes_its_mean() -> None:
    """A warp that skips pixels would keep the contrast of the noise."""
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    shrunk = shown(noise).warp(_shrinking(1 / 16), 32)[1:-1, 1:-1]
    assert shrunk.std() < noise.std() / 8


def test_a_reduced_image_has_the_pixels_that_were_asked_for_and_fewer_than_twice_as_many() -> None:
    image = ImagePyramid(shown_image(1300, 900))
    for side, level in ((1300, 1300), (651, 1300), (650, 650), (640, 650), (300, 325)):
        pixels, scale = image.reduced(side)
        assert pixels.shape[1] == level
        assert scale == pytest.approx(level / 1300)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (4000, 1), (3, 2)])
def test_an_image_of_a_line_or_a_point_can_be_reduced_as_far_as_it_goes(width: int, height: int) -> None:
    image = shown(np.full((height, width, 3), 9, np.uint8))
    assert image.warp(_shrinking(1e-9), 4).shape == (4, 4, 3)
    assert min(image.reduced(1)[0].shape) >= 1


def shown_image(width: int, height: int):
    from bentos.imaging.decoding import DecodedImage

    return DecodedImage(np.zeros((height, width, 3), np.uint8), width, height, 1.0)
