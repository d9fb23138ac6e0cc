"""Tests faces that the border of the photo cuts off in part."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.pyramid import BLACK
from models.altered import Picture, opened, saved
from tests.unit.pipeline.shown import shown

SIDES = ("left", "top", "right", "bottom")
CUT = 0.3
"""Share of the face's box that lies beyond the border."""
TIGHTER = 0.1
"""Share of the box's sides that is missing on each of the four sides of a face that fills its photo."""


@pytest.fixture(scope="module")
def people(extraction: Extraction) -> list[tuple[Picture, BoundingBox, Embedding]]:
    """The photo, the box and the embedding of each of eight people."""
    found = []
    for path in (photos.group_photo(), photos.astronaut(), photos.portrait()):
        found += [
            (opened(path), face.bbox, _embedding(face)) for face in _faces(extraction, path.read_bytes())
        ]
    return found


def _faces(extraction: Extraction, file: bytes) -> tuple[Face, ...]:
    [found] = extraction.detect_and_embed([file])
    assert isinstance(found, FacesInImage)
    return found.faces


def _embedding(face: Face) -> Embedding:
    assert face.embedding is not None
    return face.embedding


def _shown(picture: Picture, around: tuple[float, float, float, float]) -> bytes:
    """The part of the picture inside these corners, twice as large."""
    x1, y1 = (max(0, int(corner)) for corner in around[:2])
    x2, y2 = (min(side, int(corner)) for side, corner in zip(picture.size, around[2:], strict=True))
    part = picture.crop((x1, y1, x2, y2))
    return saved(part.resize((2 * part.width, 2 * part.height)))


def _cut_at(side: str, picture: Picture, box: BoundingBox) -> bytes:
    """The face with its surroundings on three sides; a part of it lies beyond the fourth."""
    width, height = box.x2 - box.x1, box.y2 - box.y1
    margins = [-CUT if each == side else 0.6 for each in SIDES]
    return _shown(
        picture,
        (
            box.x1 - margins[0] * width,
            box.y1 - margins[1] * height,
            box.x2 + margins[2] * width,
            box.y2 + margins[3] * height,
        ),
    )


def _similarities(extraction: Extraction, files: list[tuple[bytes, Embedding]]) -> list[float]:
    """The cosine of the only face of each file to the person; files in which there is no face are left out."""
    found = [(_faces(extraction, file), person) for file, person in files]
    return [float(np.dot(_embedding(faces[0]), person)) for faces, person in found if len(faces) == 1]


def test_faces_of_which_a_third_lies_beyond_a_border_are_found_and_are_those_people(
    extraction: Extraction, people: list[tuple[Picture, BoundingBox, Embedding]]
) -> None:
    """Beside black, 25 of the 32 are found."""
    files = [(_cut_at(side, picture, box), person) for picture, box, person in people for side in SIDES]
    similarities = _similarities(extraction, files)
    assert len(similarities) >= len(files) - 1
    assert np.mean(similarities) > 0.7


def test_faces_that_are_larger_than_their_photo_are_found_and_are_those_people(
    extraction: Extraction, people: list[tuple[Picture, BoundingBox, Embedding]]
) -> None:
    """Beside black, 5 of the 8 are found."""
    files = []
    for picture, box, person in people:
        x, y = TIGHTER * (box.x2 - box.x1), TIGHTER * (box.y2 - box.y1)
        files.append((_shown(picture, (box.x1 + x, box.y1 + y, box.x2 - x, box.y2 - y)), person))
    similarities = _similarities(extraction, files)
    assert len(similarities) == len(people)
    assert np.mean(similarities) > 0.75


def test_the_recogniser_sees_black_outside_of_the_photo_and_the_other_networks_grey() -> None:
    white = shown(np.full((20, 20, 3), 255, np.uint8))
    outside = np.array([[1.0, 0.0, 100.0], [0.0, 1.0, 100.0]])
    assert np.unique(white.warp(outside, 8)).tolist() == [127]
    assert np.unique(white.warp(outside, 8, outside=BLACK)).tolist() == [0]
