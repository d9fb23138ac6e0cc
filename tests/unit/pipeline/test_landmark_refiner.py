"""Tests the repeated refinement of landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import FacesInImage, Landmarks
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.landmark_refiner import LandmarkRefiner, RefinedFace
from bentos.pipeline.pack_models import SingleModels
from bentos.pipeline.pyramid import ImagePyramid
from bentos.runner.local import extraction_of
from tests.unit.pipeline.shown import bgr, shown

NOWHERE: Landmarks = ((5.0, 5.0),) * 5


@pytest.fixture(scope="module")
def models(pack_folder: Path) -> SingleModels:
    return SingleModels(
        pack_folder, threshold=0.5, size=640, providers=[("CPUExecutionProvider", {})], threads=1
    )


@pytest.fixture(scope="module")
def refiner(models: SingleModels) -> LandmarkRefiner:
    return LandmarkRefiner(models.landmarks, looks=3)


@pytest.fixture(scope="module")
def faces(extraction: Extraction) -> list[Landmarks]:
    """The landmarks of the six people of the group photo."""
    found = extraction.detect([photos.group_photo().read_bytes()])[0]
    assert isinstance(found, FacesInImage)
    return [face.landmarks for face in found.faces]


def _refine(
    refiner: LandmarkRefiner, image: ImagePyramid, landmarks: Sequence[Landmarks]
) -> list[RefinedFace | None]:
    return refiner.refine([(image, points) for points in landmarks])


def _moved(landmarks: Landmarks, x: float, y: float, factor: float = 1.0) -> Landmarks:
    centre = np.mean(landmarks, axis=0)
    return tuple((cx, cy) for cx, cy in ((np.array(landmarks) - centre) * factor + centre + (x, y)).tolist())


def test_the_refined_landmarks_do_not_depend_on_the_first_landmarks(
    refiner: LandmarkRefiner, faces: list[Landmarks]
) -> None:
    image = shown(bgr(photos.group_photo()))
    begun = _refine(refiner, image, faces)
    for x, y, factor in ((4, 0, 1.0), (0, -4, 1.0), (0, 0, 1.1), (-3, 3, 0.92)):
        again = _refine(refiner, image, [_moved(landmarks, x, y, factor) for landmarks in faces])
        for one, other, landmarks in zip(begun, again, faces, strict=True):
            assert one is not None
            assert other is not None
            eyes = np.hypot(*np.subtract(landmarks[0], landmarks[1]))
            assert np.abs(np.subtract(one.landmarks, other.landmarks)).max() < 0.06 * eyes


@pytest.mark.parametrize("degrees", [-40, 40])
def test_a_face_that_was_detected_far_from_upright_gets_the_same_landmarks(
    refiner: LandmarkRefiner, faces: list[Landmarks], degrees: int
) -> None:
    image = shown(bgr(photos.group_photo()))
    turn = complex(np.cos(np.radians(degrees)), np.sin(np.radians(degrees)))
    for landmarks, settled in zip(faces, _refine(refiner, image, faces), strict=True):
        points = np.array([complex(x, y) for x, y in landmarks])
        leaning = (points - points.mean()) * turn + points.mean()
        (found,) = _refine(refiner, image, [tuple((p.real, p.imag) for p in leaning.tolist())])
        assert found is not None
        assert settled is not None
        eyes = abs(points[0] - points[1])
        assert np.abs(np.subtract(found.landmarks, settled.landmarks)).max() < 0.12 * eyes


def test_many_faces_get_the_same_landmarks_together_as_alone(
    refiner: LandmarkRefiner, faces: list[Landmarks]
) -> None:
    """More faces than one run of the model takes, with some degenerate landmarks among them."""
    image = shown(bgr(photos.group_photo()))
    many = [*faces, NOWHERE] * 10
    together = _refine(refiner, image, many)
    assert [found is None for found in together] == [landmarks is NOWHERE for landmarks in many]
    for number, landmarks in enumerate(many[:7]):
        (alone,) = _refine(refiner, image, [landmarks])
        for found in together[number::7]:
            assert (found is None) == (alone is None)
            if found and alone:
                np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=1e-3)
                assert found.probability == pytest.approx(alone.probability, abs=1e-5)


def test_faces_get_a_high_probability_and_a_saucer_does_not(
    refiner: LandmarkRefiner, faces: list[Landmarks]
) -> None:
    people = _refine(refiner, shown(bgr(photos.group_photo())), faces)
    assert all(found is not None and found.probability > 0.97 for found in people)
    saucer = _moved(faces[0], 300 - faces[0][0][0], 200 - faces[0][0][1])
    (found,) = _refine(refiner, shown(bgr(photos.coffee_cup())), [saucer])
    assert found is None or found.probability < 0.9


def test_no_faces_need_no_run_and_zero_looks_keep_the_landmarks(
    models: SingleModels, refiner: LandmarkRefiner, faces: list[Landmarks]
) -> None:
    image = shown(bgr(photos.group_photo()))
    assert _refine(refiner, image, []) == []
    unchanged = _refine(LandmarkRefiner(models.landmarks, looks=0), image, [faces[0], NOWHERE])
    assert unchanged[0] is not None
    assert np.allclose(unchanged[0].landmarks, faces[0])
    assert unchanged[1] is None


def _cosines(extraction: Extraction) -> list[float]:
    """The cosine of each person of the group photo to selfies of the same person."""
    group = extraction.detect([photos.group_photo().read_bytes()])[0]
    assert isinstance(group, FacesInImage)
    known = extraction.embed([(photos.group_photo().read_bytes(), [face.landmarks for face in group.faces])])[
        0
    ]
    assert isinstance(known, FacesInImage)
    cosines = []
    for (face, indexed), degrees in product(zip(group.faces, known.faces, strict=True), (-12, 12)):
        selfie = photos.selfie_of(photos.group_photo(), face.bbox, degrees=degrees)
        found = extraction.embed_only_face([selfie])[0]
        assert isinstance(found, FacesInImage)
        assert indexed.embedding is not None
        cosines.append(
            max(float(indexed.embedding @ f.embedding) for f in found.faces if f.embedding is not None)
        )
    return cosines


def test_refinement_brings_selfies_closer_to_their_photo(extraction: Extraction, pack_folder: Path) -> None:
    refined, detected = _cosines(extraction), _cosines(extraction_of(pack_folder, Settings(landmark_looks=0)))
    assert np.mean(refined) > np.mean(detected)
    assert min(refined) > max(0.9, min(detected))


def test_a_candidate_that_the_refiner_does_not_confirm_is_no_face(pack_folder: Path) -> None:
    strict = extraction_of(pack_folder, Settings(confirmation_threshold=0.9999999))
    found = strict.embed_only_face([photos.portrait().read_bytes()])[0]
    assert isinstance(found, FacesInImage)
    assert found.faces == ()
