"""Tests the detection of small faces in large photos."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import BoundingBox, Face, FacesInImage
from bentos.pipeline.detector import Candidates
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.large_photos import detect_in_parts, detect_in_two_passes
from bentos.pipeline.steps import Work
from bentos.runner.local import extraction_of, pack_of
from models.altered import Scene, crowd, opened, selfie
from tests.unit.pipeline.shown import shown

NOBODY = Candidates(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))


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


@pytest.mark.parametrize("is_tall", [False, True], ids=["wide", "tall"])
def test_the_faces_of_a_panorama_are_found(extraction: Extraction, is_tall: bool) -> None:
    """In one pass with a longer side of 1920 pixels the faces would be 10 pixels wide."""
    face = selfie(opened(photos.astronaut()), BoundingBox(178, 63, 269, 174))
    known = _faces(extraction.detect_and_embed([photos.astronaut().read_bytes()])[0])[0].embedding
    size = (400, 12000) if is_tall else (12000, 400)
    scene = crowd("panorama", size, [face], count=12, side=64)
    faces = _faces(extraction.detect_and_embed([scene.jpeg])[0])
    assert _seen(scene, faces) == len(faces) == len(scene.places)
    assert min(float(known @ each.embedding) for each in faces) > 0.8


def test_a_face_has_its_place_in_a_long_narrow_photo_that_is_tall(extraction: Extraction) -> None:
    """In the detector's input such a photo is 66.7 pixels wide, which are rounded."""
    face = selfie(opened(photos.astronaut()), BoundingBox(178, 63, 269, 174))
    scene = crowd("column", (67, 13001), [face], count=20, side=23)
    faces = _faces(extraction.detect([scene.jpeg])[0])
    assert _seen(scene, faces) == len(faces) == len(scene.places)
    for each in faces:
        middle = np.mean([y for _, y in each.landmarks])
        assert abs(middle - (each.bbox.y1 + each.bbox.y2) / 2) < 0.2 * (each.bbox.y2 - each.bbox.y1)


def test_a_photo_of_any_sides_is_searched_in_at_most_ten_inputs_that_the_detector_accepts(
    pack_folder: Path,
) -> None:
    """Its strides divide their sides, for providers whose inputs are square, with any DETECTION_LARGE_SIZE."""
    pack = pack_of(pack_folder, Settings())
    for sides in ((300, 4000), (3000, 4000), (3999, 77), (200, 17000), (110, 65000), (60, 38000), (9, 5700)):
        image = shown(np.zeros((*sides, 3), np.uint8))
        work = pack.candidates(image, most=1, large_size=1900)
        asked: list[int] = []
        with suppress(StopIteration):
            step = next(work)
            while True:
                asked += [each.side for each in step.items]
                step = work.send([NOBODY for _ in step.items])
        assert max(asked) == 1888
        assert all(side % 32 == 0 for side in asked)
        assert len(asked) <= 1 + 9


@pytest.mark.parametrize(
    ("sides", "large_size", "passes"),
    [
        ((640, 480), 1920, [640]),
        ((660, 500), 1920, [640]),
        ((700, 500), 1920, [640, 672]),
        ((5000, 3000), 1920, [640, 1920]),
        ((5000, 5000), 1920, [640, 1920]),
        ((5000, 1700), 1920, [640, 1920]),
        ((5000, 1600), 1920, [640, 2912]),
        ((2500, 100), 1920, [640, 1920]),
        ((20000, 400), 1920, [640, 11744]),
        ((65000, 110), 1920, [640, 15360]),
        ((5000, 3000), 0, [640]),
        ((20000, 400), 0, [640]),
    ],
)
def test_the_second_pass_enlarges_nothing_and_uses_sides_that_the_detector_accepts(
    sides: tuple[int, int], large_size: int, passes: list[int]
) -> None:
    asked: list[int] = []

    def detect(side: int) -> Work[Candidates]:
        asked.append(side)
        return NOBODY
        yield

    work = detect_in_two_passes(
        detect,
        lambda found: found,
        size=640,
        large_size=large_size,
        longer_side=sides[0],
        shorter_side=sides[1],
    )
    assert list(work) == []
    assert asked == passes


@pytest.mark.parametrize("is_tall", [False, True], ids=["wide", "tall"])
@pytest.mark.parametrize(
    ("longer", "shorter", "part"), [(3000, 1000, 2000), (3001, 999, 1999), (9000, 30, 1600)]
)
def test_every_face_of_a_panorama_is_whole_in_one_of_its_parts(
    longer: int, shorter: int, part: int, is_tall: bool
) -> None:
    shape = (longer, shorter, 3) if is_tall else (shorter, longer, 3)
    pixels = np.zeros(shape, np.uint8)
    starts: list[int] = []

    def detect(window: np.ndarray) -> Work[Candidates]:
        assert sorted(window.shape[:2]) == [shorter, part]
        starts.append((window.ctypes.data - pixels.ctypes.data) // pixels.strides[0 if is_tall else 1])
        return Candidates(np.float32([[1, 2, 3, 4]]), np.float32([0.9]), np.full((1, 5, 2), 7, np.float32))
        yield

    work = detect_in_parts(detect, lambda found: found, pixels, part)
    with pytest.raises(StopIteration) as ended:
        next(work)
    assert (starts[0], starts[-1] + part) == (0, longer)
    assert all(after - before <= part - shorter for before, after in pairwise(starts))
    assert len(starts) <= -(-longer // (part - shorter))
    along, across = (1, 0) if is_tall else (0, 1)
    assert ended.value.value.boxes[:, along].tolist() == [start + 1 + along for start in starts]
    assert ended.value.value.points[:, 0, along].tolist() == [start + 7 for start in starts]
    assert ended.value.value.points[:, 0, across].tolist() == [7] * len(starts)


def test_a_face_found_by_both_passes_is_returned_once_with_the_better_score(extraction: Extraction) -> None:
    faces = _faces(extraction.detect([photos.group_photo().read_bytes()])[0])
    assert len(faces) == 6
    assert all(one.bbox.iou(other.bbox) < 0.4 for n, one in enumerate(faces) for other in faces[n + 1 :])
