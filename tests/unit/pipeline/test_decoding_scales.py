"""Tests that a large JPEG is decoded no larger than its faces need."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bentos.demo import photos
from bentos.domain.faces import FacesInImage
from bentos.imaging.decoding import DecodedImage, decode
from bentos.pipeline import finding as module
from bentos.pipeline.extraction import Extraction

WIDTH, HEIGHT = 4032, 3024
FACE = 140 / 330
"""Height of the face as a share of the side of the square that `selfie` cuts out."""


@pytest.fixture
def scales(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The scales at which images are decoded, in order."""
    seen: list[float] = []

    def noted(image: bytes, **options: Any) -> DecodedImage:
        decoded = decode(image, **options)
        seen.append(decoded.scale)
        return decoded

    monkeypatch.setattr(module, "decode", noted)
    return seen


def selfie(face_height: int) -> bytes:
    """A JPEG of 12 megapixels with the astronaut's face at that height, pixels."""
    side = round(face_height / FACE)
    with Image.open(photos.astronaut()) as image:
        portrait = image.convert("RGB").crop((60, 0, 390, 330)).resize((side, side), Image.Resampling.BICUBIC)
    scene = Image.new("RGB", (WIDTH, HEIGHT), (90, 110, 100))
    scene.paste(portrait, ((WIDTH - side) // 2, max(0, (HEIGHT - side) // 2)))
    file = io.BytesIO()
    scene.save(file, "JPEG", quality=90)
    return file.getvalue()


def one_face(found: object) -> np.ndarray:
    assert isinstance(found, FacesInImage)
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    embedding = found.faces[0].embedding
    assert embedding is not None
    return embedding


@pytest.mark.parametrize(
    ("face_height", "expected"),
    [(1800, [1 / 8]), (1500, [1 / 8]), (900, [1 / 8, 1 / 4]), (450, [1 / 8, 1 / 2])],
)
def test_a_selfie_is_decoded_again_only_as_large_as_its_face_needs(
    extraction: Extraction, scales: list[float], face_height: int, expected: list[float]
) -> None:
    reduced = one_face(extraction.embed_only_face([selfie(face_height)])[0])
    assert scales == expected
    same = photos.astronaut().read_bytes()
    other = extraction.embed_only_face([same])[0]
    assert isinstance(other, FacesInImage)
    assert float(reduced @ other.faces[0].embedding) > 0.9


@pytest.mark.parametrize(("face_height", "expected"), [(1800, 1 / 8), (900, 1 / 4), (450, 1 / 2), (200, 1.0)])
def test_a_known_face_is_decoded_once_and_as_large_as_it_needs(
    extraction: Extraction, scales: list[float], face_height: int, expected: float
) -> None:
    file = selfie(face_height)
    found = extraction.detect([file])[0]
    assert isinstance(found, FacesInImage)
    scales.clear()
    one_face(extraction.embed([(file, [found.faces[0].landmarks])])[0])
    assert scales == [expected]


def test_a_selfie_without_a_face_is_searched_again_as_a_photo(
    extraction: Extraction, scales: list[float]
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "gray").save(file, "JPEG")
    found = extraction.embed_only_face([file.getvalue()])[0]
    assert isinstance(found, FacesInImage)
    assert found.faces == ()
    assert scales == [1 / 8, 1 / 2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_selfie_of_a_web_camera_is_decoded_once_and_in_full(
    extraction: Extraction, scales: list[float], kind: str
) -> None:
    file = io.BytesIO()
    with Image.open(photos.astronaut()) as image:
        image.convert("RGB").crop((60, 0, 390, 330)).resize((640, 640)).save(file, kind)
    assert isinstance(extraction.embed_only_face([file.getvalue()])[0], FacesInImage)
    assert scales == [1.0]
