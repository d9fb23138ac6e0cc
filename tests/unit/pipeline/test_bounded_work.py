"""Tests how much work the pipeline does for an image, by counting the runs of each network, on the real models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import BoundingBox, Face, FacesInImage
from bentos.pipeline.chunks import CHUNK
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.face_pack import FaceCandidates
from bentos.pipeline.finding import LISTED
from bentos.pipeline.wanted import Dropped
from bentos.runner.local import extraction_of
from seed.face_images import selfie
from tests.crowds import crowd

FACES = 400
LOOKS = Settings().landmark_looks
MOST_REFUSED = 200
"""Candidates that are examined in one turn when none of them is a face."""
MOST_LOOKS = 5
"""Looks at one candidate: one turned by its landmarks, and four for the turns."""


@pytest.fixture(scope="module")
def many_faces() -> bytes:
    return crowd(20, 20, cell=100)


class Runs:
    """Counts the runs of each network: the detector's by the longer side of the input, those of the landmark model and
    of the recogniser by the number of faces.
    """

    def __init__(self, extraction: Extraction, patch: pytest.MonkeyPatch) -> None:
        self.detector: Counter[int] = Counter()
        self.landmarks: list[int] = []
        self.recogniser: list[int] = []
        pack = extraction._pack
        models = pack._models
        outputs, features = models.detector._outputs, models.recogniser.get_feat
        look = pack._refiner._look

        def counted_outputs(blob: Any) -> Any:
            self.detector[max(blob.shape[2:])] += 1
            return outputs(blob)

        def counted_look(faces: Any) -> Any:
            self.landmarks.append(len(faces))
            return look(faces)

        def counted_features(crops: list[Any]) -> Any:
            self.recogniser.append(len(crops))
            return features(crops)

        patch.setattr(models.detector, "_outputs", counted_outputs)
        patch.setattr(pack._refiner, "_look", counted_look)
        patch.setattr(models.recogniser, "get_feat", counted_features)

    @property
    def looks(self) -> int:
        """Runs of the detector on single faces."""
        return self.detector[96]

    @property
    def total(self) -> int:
        return self.detector.total() + len(self.landmarks) + len(self.recogniser)

    def clear(self) -> None:
        for each in (self.detector, self.landmarks, self.recogniser):
            each.clear()


@pytest.fixture
def runs(extraction: Extraction, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    return Runs(extraction, monkeypatch)


def found(result: FacesInImage | FaceSearchError) -> FacesInImage:
    assert isinstance(result, FacesInImage)
    return result


def test_a_selfie_costs_one_detection_three_looks_and_one_embedding(
    extraction: Extraction, runs: Runs
) -> None:
    assert len(found(extraction.embed_only_face([selfie(0).jpeg])[0]).faces) == 1
    assert runs.detector == {Settings().selfie_quick_size: 1}
    assert runs.landmarks == [1] * LOOKS
    assert runs.recogniser == [1]


def test_a_selfie_with_a_small_face_costs_a_look_and_no_second_detection(
    extraction: Extraction, runs: Runs
) -> None:
    assert len(found(extraction.embed_only_face([photos.portrait().read_bytes()])[0]).faces) == 1
    assert runs.detector[Settings().selfie_detection_size] == 1
    assert runs.looks >= 1
    assert runs.landmarks[:LOOKS] == [1] * LOOKS
    assert runs.recogniser == [1]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_turns_of_a_turned_selfie_are_compared(extraction: Extraction, runs: Runs, degrees: int) -> None:
    upright = cv2.imdecode(np.frombuffer(selfie(0).jpeg, np.uint8), cv2.IMREAD_COLOR)
    turned = cv2.imencode(".png", np.ascontiguousarray(np.rot90(upright, degrees // 90)))[1].tobytes()
    [face] = found(extraction.embed_only_face([turned])[0]).faces
    assert runs.looks >= 4
    [straight] = found(extraction.embed_only_face([selfie(0).jpeg])[0]).faces
    assert face.embedding is not None
    assert straight.embedding is not None
    assert float(face.embedding @ straight.embedding) > 0.95


def test_a_selfie_with_somebody_in_the_background_is_refused(extraction: Extraction, runs: Runs) -> None:
    front = cv2.imdecode(np.frombuffer(selfie(0).jpeg, np.uint8), cv2.IMREAD_COLOR)
    other = cv2.imread(str(photos.portrait()))
    front[:64, -64:] = cv2.resize(other, (64, 64), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".png", front)[1].tobytes()
    assert found(extraction.embed_only_face([jpeg])[0]).count == 2
    assert runs.detector[320] == 1


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_the_largest_face_and_the_face_at_a_box_are_those_of_a_full_examination(
    extraction: Extraction, turn: int
) -> None:
    group = cv2.imread(str(photos.group_photo()))
    image = cv2.imencode(".png", np.ascontiguousarray(np.rot90(group, turn)))[1].tobytes()
    faces = found(extraction.detect_and_embed([image])[0]).faces
    for face in faces:
        [at_box] = found(extraction.embed_only_at([(image, face.bbox)])[0]).faces
        assert at_box.bbox.iou(face.bbox) > 0.9
        assert float(at_box.embedding @ face.embedding) > 0.99
    [largest] = found(extraction.embed_largest_face([image])[0]).faces
    expected = max(faces, key=lambda face: face.bbox.area)
    assert largest.bbox.iou(expected.bbox) > 0.9
    assert float(largest.embedding @ expected.embedding) > 0.99


def test_where_there_is_no_face_none_is_the_largest_or_at_a_box(extraction: Extraction) -> None:
    cup, astronaut = photos.coffee_cup().read_bytes(), photos.astronaut().read_bytes()
    asked = [(cup, BoundingBox(0, 0, 300, 300)), (astronaut, BoundingBox(400, 380, 500, 500))]
    for nothing in (*extraction.embed_largest_face([cup]), *extraction.embed_only_at(asked)):
        assert found(nothing).faces == ()


def test_one_face_of_a_crowd_costs_a_few_looks_and_one_embedding(
    extraction: Extraction, runs: Runs, many_faces: bytes
) -> None:
    [largest] = found(extraction.embed_largest_face([many_faces])[0]).faces
    assert runs.recogniser == [1]
    assert runs.looks <= 4 * MOST_LOOKS
    assert sum(runs.landmarks) <= 4 * (LOOKS + 3)
    runs.clear()
    assert len(found(extraction.embed_only_at([(many_faces, largest.bbox)])[0]).faces) == 1
    assert runs.recogniser == [1]
    assert runs.looks <= 4 * MOST_LOOKS


def test_a_selfie_of_a_crowd_examines_one_chunk_of_faces_and_embeds_none(
    extraction: Extraction, runs: Runs, many_faces: bytes
) -> None:
    crowd_found = found(extraction.embed_only_face([many_faces])[0])
    assert runs.looks == CHUNK
    assert (
        runs.detector.total() <= CHUNK + 3
    )  # at 256 and 320, which find no faces of eleven pixels, and at 640
    assert runs.recogniser == []
    assert 0.9 * LISTED < len(crowd_found.faces) <= LISTED
    assert abs(crowd_found.count - FACES) < FACES / 10
    assert all(face.embedding is None for face in crowd_found.faces)


def test_a_group_photo_is_listed_with_every_face_after_a_few_looks_each(
    extraction: Extraction, runs: Runs
) -> None:
    group = found(extraction.embed_only_face([photos.group_photo().read_bytes()])[0])
    assert (len(group.faces), group.left_out) == (6, 0)
    assert runs.looks == 7 + 2 * 4  # one look does not confirm the face in profile or a false candidate
    assert sum(runs.landmarks) <= 2 * 2 * LOOKS
    assert runs.recogniser == []


def test_a_selfie_with_a_false_candidate_is_accepted(extraction: Extraction, runs: Runs) -> None:
    pack = extraction._pack
    image = photos.astronaut().read_bytes()
    [real] = found(extraction.detect([image])[0]).faces
    candidates = pack.candidates

    def with_false_ones(*args: Any, **options: Any) -> Any:
        real_ones = (yield from candidates(*args, **options)).sure
        nowhere = tuple((x / 8 + 400, y / 8 + 380) for x, y in real.landmarks)
        false_ones = [type(real)(real.bbox, 1.0, nowhere) for _ in range(3 * CHUNK)]
        return FaceCandidates([*false_ones, *real_ones], [], left_out=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "candidates", with_false_ones)
        only = found(extraction.embed_only_face([image])[0])
    assert len(only.faces) == 1
    assert only.left_out == 0
    assert only.faces[0].embedding is not None


def test_a_selfie_of_noise_costs_a_fixed_number_of_looks(extraction: Extraction, runs: Runs) -> None:
    pack = extraction._pack
    candidates = pack.candidates
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8))[
        1
    ].tobytes()
    points = ((240.0, 250.0), (280.0, 250.0), (260.0, 275.0), (245.0, 295.0), (275.0, 295.0))

    def with_many(*args: Any, **options: Any) -> Any:
        yield from candidates(*args, **options)
        sure = [Face(BoundingBox(200, 200, 320, 330), 0.9, points)] * LISTED
        return FaceCandidates(sure, [replace(sure[0], score=0.4)] * LISTED, left_out=500)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "candidates", with_many)
        assert found(extraction.embed_only_face([noise])[0]).faces == ()
    detections = runs.detector.total() - runs.looks
    assert detections == 6  # at two sizes in two turns, at one in the others
    assert runs.looks <= detections * (LISTED + 2 * 8 * 4)
    assert runs.landmarks == runs.recogniser == []


@pytest.mark.parametrize("method", ["detect", "embed_largest_face"])
def test_a_photo_of_many_blurred_faces_costs_a_fixed_number_of_looks(
    extraction: Extraction, runs: Runs, method: str
) -> None:
    """The detector is sure of about a thousand of them in two turns, and the landmark model confirms none."""
    face = cv2.imread(str(photos.astronaut()))[30:200, 160:290]
    blurred = cv2.GaussianBlur(cv2.resize(face, (40, 52)), (0, 0), 3)
    image = cv2.imencode(".jpg", np.tile(blurred, (32, 32, 1)))[1].tobytes()
    assert found(getattr(extraction, method)([image])[0]).faces == ()
    assert MOST_REFUSED < runs.looks <= 4 * MOST_REFUSED * MOST_LOOKS


def test_doubtful_candidates_are_listed_only_after_examination(
    extraction: Extraction, many_faces: bytes
) -> None:
    crowd_found = found(extraction.embed_only_face([many_faces])[0])
    assert min(face.score for face in crowd_found.faces) >= Settings().detection_threshold


def test_one_run_processes_the_faces_of_several_images(extraction: Extraction, runs: Runs) -> None:
    with Image.open(photos.astronaut()) as image:
        other = BytesIO()
        image.convert("RGB").save(other, "JPEG", quality=80)
    selfies = [photos.astronaut().read_bytes(), other.getvalue()] * 3
    together = extraction.embed_only_face(selfies)
    assert runs.landmarks[:LOOKS] == [6] * LOOKS
    assert runs.recogniser == [6]
    for file, one in zip(selfies[:2], together, strict=False):
        alone = found(extraction.embed_only_face([file])[0])
        np.testing.assert_allclose(found(one).faces[0].embedding, alone.faces[0].embedding, atol=1e-4)


def test_the_recogniser_runs_in_chunks_of_a_fixed_size(
    extraction: Extraction, runs: Runs, many_faces: bytes
) -> None:
    embedded = found(extraction.detect_and_embed([many_faces])[0])
    assert len(embedded.faces) > FACES * 0.9
    assert max(runs.recogniser) == CHUNK
    assert sum(runs.recogniser) == len(embedded.faces)
    assert all(face.embedding is not None for face in embedded.faces)


def test_an_embedding_does_not_depend_on_the_chunk(extraction: Extraction, many_faces: bytes) -> None:
    known = [face.landmarks for face in found(extraction.detect([many_faces])[0]).faces]
    embedded = found(extraction.embed([(many_faces, known)])[0]).faces
    some = [embedded[number] for number in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 3, len(embedded) - 1)]
    alone = [
        found(extraction.embed([(many_faces, [known[number]])])[0]).faces[0]
        for number in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 3, len(embedded) - 1)
    ]
    for one, other in zip(some, alone, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)


def test_faces_beyond_max_faces_are_counted_and_the_best_are_kept(
    extraction: Extraction, pack_folder: Path, many_faces: bytes
) -> None:
    bounded = extraction_of(pack_folder, Settings(max_faces=50))
    first, again = (found(bounded.detect([many_faces])[0]) for _ in range(2))
    every = found(extraction.detect([many_faces])[0])
    assert first == again
    assert len(first.faces) == 50
    assert first.count >= len(every.faces)
    assert {face.bbox for face in first.faces} == {face.bbox for face in every.faces[:50]}


@pytest.mark.parametrize("method", ["detect", "detect_and_embed", "embed_only_face"])
def test_an_image_without_a_waiting_caller_is_not_decoded(
    extraction: Extraction, runs: Runs, method: str
) -> None:
    selfie = photos.astronaut().read_bytes()
    dropped, kept = getattr(extraction, method)([b"is not decoded", selfie], lambda number: number == 1)
    assert isinstance(dropped, Dropped)
    assert len(found(kept).faces) == 1


@pytest.mark.parametrize("method", ["detect", "detect_and_embed"])
def test_the_work_ends_within_a_chunk_after_the_caller_stops_waiting(
    extraction: Extraction, runs: Runs, many_faces: bytes, method: str
) -> None:
    getattr(extraction, method)([many_faces])
    whole = runs.total
    for after in (1, whole // 2, 3 * whole // 4):
        runs.clear()
        is_wanted = lambda _, after=after: runs.total < after  # noqa: E731
        [dropped] = getattr(extraction, method)([many_faces], is_wanted)
        assert isinstance(dropped, Dropped)
        assert runs.total < after + CHUNK * MOST_LOOKS
