"""Tests photos and selfies that are turned."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from bentos.demo import photos
from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.turned import next_turn, once_each, turn_of
from models.altered import TURNS, opened, people_free, saved, selfie, turned

TEMPLATE = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))


def _faces(found: object) -> tuple[Face, ...]:
    assert isinstance(found, FacesInImage)
    return found.faces


def _face(degrees: float = 0.0, x: float = 0.0, score: float = 0.9) -> Face:
    """An upright face turned clockwise, as seen in the image."""
    turn = complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    points = [complex(px, py) * turn for px, py in TEMPLATE]
    return Face(BoundingBox(x, 0, x + 1, 1), score, tuple((p.real + x, p.imag) for p in points))


def _people() -> list[tuple[Image.Image, BoundingBox]]:
    """The photo and the box of each of eight people."""
    group = [
        (463, 266, 576, 416), (750, 346, 845, 472), (1125, 272, 1221, 397),
        (905, 58, 1005, 202), (60, 268, 167, 397), (266, 151, 372, 278),
    ]  # fmt: skip
    people = [(photos.group_photo(), box) for box in group]
    people += [(photos.astronaut(), (178, 63, 269, 174)), (photos.portrait(), (10, 3, 92, 112))]
    return [(opened(path), BoundingBox(*box)) for path, box in people]


def _indexed(extraction: Extraction, file: bytes) -> list[Embedding]:
    faces = _faces(extraction.detect([file])[0])
    again = _faces(extraction.embed([(file, [face.landmarks for face in faces])])[0])
    return [face.embedding for face in again if face.embedding is not None]


def _searched(extraction: Extraction, file: bytes) -> list[Embedding]:
    """The embeddings of a selfie; all faces when a selfie with a neighbour is refused."""
    faces = _faces(extraction.embed_only_face([file])[0])
    if len(faces) > 1:
        return _indexed(extraction, file)
    return [face.embedding for face in faces if face.embedding is not None]


@pytest.fixture(scope="module")
def upright(extraction: Extraction) -> list[Embedding]:
    """The embeddings of the eight people as indexed, in the order of `_people`."""
    known = []
    for picture, box in _people():
        file = saved(picture, "PNG")
        faces = _faces(extraction.detect([file])[0])
        face = max(faces, key=lambda face: face.bbox.iou(box))
        (again,) = _faces(extraction.embed([(file, [face.landmarks])])[0])
        assert again.embedding is not None
        known.append(again.embedding)
    return known


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_every_person_of_a_turned_photo_is_indexed_once_and_found_by_the_upright_face(
    extraction: Extraction, upright: list[Embedding], degrees: int
) -> None:
    for path, people in (
        (photos.group_photo(), range(6)),
        (photos.astronaut(), range(6, 7)),
        (photos.portrait(), range(7, 8)),
    ):
        indexed = np.array(_indexed(extraction, saved(turned(opened(path), degrees), "PNG")))
        assert len(indexed) == len(people)
        for number in people:
            cosines = np.array(upright) @ indexed.T
            assert cosines[number].max() > 0.97
            assert cosines[:, cosines[number].argmax()].argmax() == number


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_selfie_finds_its_person_first(
    extraction: Extraction, upright: list[Embedding], degrees: int
) -> None:
    for number, (picture, box) in enumerate(_people()):
        file = saved(turned(selfie(picture, box, margin=0.35), degrees))
        found = np.array(_searched(extraction, file))
        cosines = np.array(upright) @ found.T
        assert cosines[number].max() > 0.9
        assert cosines[:, cosines[number].argmax()].argmax() == number


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_boxes_and_landmarks_are_those_of_the_file_as_it_was_sent(
    extraction: Extraction, degrees: int
) -> None:
    picture = opened(photos.astronaut())
    (face,) = _faces(extraction.detect([saved(turned(picture, degrees), "PNG")])[0])
    x, y = {0: (224, 119), 90: (119, 512 - 224), 180: (512 - 224, 512 - 119), 270: (512 - 119, 224)}[degrees]
    assert face.bbox.x1 < x < face.bbox.x2
    assert face.bbox.y1 < y < face.bbox.y2
    assert all(
        face.bbox.x1 < px < face.bbox.x2 and face.bbox.y1 < py < face.bbox.y2 for px, py in face.landmarks
    )
    assert turn_of(face) == degrees // 90


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_group_is_no_selfie_of_one_person(extraction: Extraction, degrees: int) -> None:
    file = saved(turned(opened(photos.group_photo()), degrees))
    faces = _faces(extraction.embed_only_face([file])[0])
    assert len(faces) > 1
    assert all(face.embedding is None for face in faces)
    assert len(_faces(extraction.detect_and_embed([file])[0])) == 6


@pytest.mark.parametrize("name", people_free())
def test_a_turned_photo_without_people_has_no_faces(extraction: Extraction, name: str) -> None:
    for degrees in TURNS:
        file = saved(turned(people_free()[name], degrees), "PNG")
        assert _faces(extraction.detect([file])[0]) == ()
        assert _faces(extraction.embed_only_face([file])[0]) == ()


def test_exif_orientation_is_applied_before_the_turn_is_determined(extraction: Extraction) -> None:
    """The coordinates refer to the photo turned upright by its EXIF orientation."""
    picture = opened(photos.astronaut())
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(out, "JPEG", quality=95, exif=exif)
    (face,) = _faces(extraction.detect([out.getvalue()])[0])
    assert turn_of(face) == 0
    assert face.bbox.iou(BoundingBox(178.6, 63.4, 269.1, 173.9)) > 0.8


@pytest.mark.parametrize(
    ("degrees", "turn"), [(0, 0), (44, 0), (-44, 0), (-90, 1), (180, 2), (90, 3), (-60, 1)]
)
def test_the_turn_of_a_face_is_how_often_the_photo_has_to_be_turned_clockwise(
    degrees: float, turn: int
) -> None:
    assert turn_of(_face(degrees)) == turn


def test_an_upright_photo_is_searched_once_and_one_without_faces_in_every_turn() -> None:
    assert next_turn([0], [_face()]) is None
    assert next_turn([0], []) == 1
    assert next_turn([0, 1], []) == 2
    assert next_turn([0, 1, 2], []) == 3
    assert next_turn([0, 1, 2, 3], []) is None


def _people_found(
    ask: Callable[[list[bytes]], list[FacesInImage | FaceSearchError]],
    upright: list[Embedding],
    degrees: int,
    *,
    width: int,
    size: tuple[int, int],
    at: tuple[int, int],
) -> int:
    """How many of the people `ask` finds, each turned by `degrees` on a white photo of this `size`.

    `width`: of the part of the photo that shows the person before it is turned, pixels; `at`: where it is pasted.
    """
    found = 0
    for (picture, box), known in zip(_people(), upright, strict=True):
        face = selfie(picture, box)
        face = face.resize((width, width * face.height // face.width))
        photo = Image.new("RGB", size, "white")
        photo.paste(turned(face, degrees), at)
        faces = _faces(ask([saved(photo)])[0])
        found += len(faces) == 1 and float(np.dot(faces[0].embedding, known)) > 0.5
    return found


@pytest.mark.parametrize("degrees", [180, 270])
def test_the_only_face_of_a_large_turned_photo_is_found_however_small(
    extraction: Extraction, upright: list[Embedding], degrees: int
) -> None:
    """Upside down, one of the eight is found unless the photo is searched in that turn; two or three at 270°."""
    ask = extraction.detect_and_embed
    assert _people_found(ask, upright, degrees, width=176, size=(4000, 3000), at=(1400, 900)) >= 7


@pytest.mark.parametrize("degrees", [180, 270])
def test_a_turned_selfie_in_which_the_face_is_small_finds_its_person(
    extraction: Extraction, upright: list[Embedding], degrees: int
) -> None:
    """Upside down, two of the eight are found unless the selfie is searched in that turn; six at 270°."""
    ask = extraction.embed_only_face
    assert _people_found(ask, upright, degrees, width=550, size=(2480, 3508), at=(860, 1050)) >= 7


def test_a_turned_face_makes_the_photo_be_searched_at_its_turn() -> None:
    assert next_turn([0], [_face(180)]) == 2
    assert next_turn([0, 1], [_face(90), _face(-90)]) == 3
    assert next_turn([0], [_face(-90), _face(180)]) == 1
    assert next_turn([0, 1, 2], [_face(-90), _face(180)]) is None


def test_two_candidates_of_one_face_are_one_and_neighbours_are_two() -> None:
    face, again, neighbour = _face(score=0.9), _face(x=3, score=0.8), _face(x=60, score=0.7)
    assert once_each([again, neighbour, face]) == [face, neighbour]
    assert once_each([]) == []
