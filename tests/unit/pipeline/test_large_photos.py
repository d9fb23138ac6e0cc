"""Tests the detection of small faces in large photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import BoundingBox, Face, FacesInImage
from bentos.pipeline.detector import Candidates
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.large_photos import detect_in_two_passes
from bentos.pipeline.steps import Work
from bentos.runner.local import extraction_of
from models.altered import Scene, crowd, opened, selfie


@pytest.fixture(scope="module")
def one_pass_only(pack_folder: Path) -> Extraction:
    return extraction_of(pack_folder, Settings(detection_large_size=0))


@pytest.fixture(scope="module")
def scene() -> Scene:
    face = selfie(opened(photos.astronaut()), BoundingBox(178, 63, 269, 174))
    return crowd("12 MP", (4000, 3000), [face], count=20, side=50)


def _faces(found: object) -> tuple[Face, ...]:
    assert isinstance(found, FacesInImage)
    return found.faces


def _seen(scene: Scene, faces: tuple[Face, ...]) -> int:
    middles = [((f.bbox.x1 + f.bbox.x2) / 2, (f.bbox.y1 + f.bbox.y2) / 2) for f in faces]
    return sum(any(p.x1 < x < p.x2 and p.y1 < y < p.y2 for x, y in middles) for p in scene.places)


def test_a_second_pass_finds_the_small_faces_of_a_large_photo(
    extraction: Extraction, one_pass_only: Extraction, scene: Scene
) -> None:
    both, first = (_faces(each.detect([scene.jpeg])[0]) for each in (extraction, one_pass_only))
    assert _seen(scene, both) == len(both) == len(scene.places)
    assert len(first) < len(scene.places) / 2


def test_a_small_face_of_a_large_photo_is_that_person(extraction: Extraction, scene: Scene) -> None:
    """The landmarks are refined at full size, not in the image that the decoder has reduced."""
    known = _faces(extraction.detect_and_embed([photos.astronaut().read_bytes()])[0])[0].embedding
    found = _faces(extraction.detect([scene.jpeg])[0])
    again = _faces(extraction.embed([(scene.jpeg, [face.landmarks for face in found])])[0])
    cosines = [float(known @ face.embedding) for face in again]
    assert np.mean(cosines) > 0.9
    assert min(cosines) > 0.8


def test_a_selfie_gets_no_second_pass(
    extraction: Extraction, one_pass_only: Extraction, scene: Scene
) -> None:
    for image in (scene.jpeg, photos.group_photo().read_bytes()):
        both, first = (_faces(each.embed_only_face([image])[0]) for each in (extraction, one_pass_only))
        assert [face.bbox for face in both] == [face.bbox for face in first]


@pytest.mark.parametrize(
    ("longer_side", "large_size", "sides"),
    [
        (640, 1920, [640]),
        (660, 1920, [640]),
        (700, 1920, [640, 672]),
        (5000, 1920, [640, 1920]),
        (5000, 0, [640]),
    ],
)
def test_the_second_pass_enlarges_nothing_and_uses_sides_that_the_detector_accepts(
    longer_side: int, large_size: int, sides: list[int]
) -> None:
    asked: list[int] = []
    nobody = Candidates(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))

    def detect(side: int) -> Work[Candidates]:
        asked.append(side)
        return nobody
        yield

    work = detect_in_two_passes(
        detect, lambda found: found, size=640, large_size=large_size, longer_side=longer_side
    )
    assert list(work) == []
    assert asked == sides


def test_a_face_found_by_both_passes_is_returned_once_with_the_better_score(extraction: Extraction) -> None:
    faces = _faces(extraction.detect([photos.group_photo().read_bytes()])[0])
    assert len(faces) == 6
    assert all(one.bbox.iou(other.bbox) < 0.4 for n, one in enumerate(faces) for other in faces[n + 1 :])
