"""How much work the pipeline does for an image: runs of the networks are counted, on the real models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import FacesInImage
from bentos.pipeline.chunks import CHUNK
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.face_pack import Candidates
from bentos.pipeline.finding import LISTED
from bentos.pipeline.wanted import Dropped
from bentos.runner.local import extraction_of
from tests.crowds import crowd

FACES = 400
LOOKS = Settings().landmark_looks


@pytest.fixture(scope="module")
def many_faces() -> bytes:
    return crowd(20, 20, cell=100)


class Runs:
    """Counts the runs of each network: of the detector by the side of its input, of the recogniser by its faces."""

    def __init__(self, extraction: Extraction, patch: pytest.MonkeyPatch) -> None:
        self.detector: Counter[int] = Counter()
        self.recogniser: list[int] = []
        pack = extraction._pack
        outputs, features = pack._detector._outputs, pack._recogniser.get_feat

        def counted_outputs(pixels: Any, side: int) -> Any:
            self.detector[side] += 1
            return outputs(pixels, side)

        def counted_features(crops: list[Any]) -> Any:
            self.recogniser.append(len(crops))
            return features(crops)

        patch.setattr(pack._detector, "_outputs", counted_outputs)
        patch.setattr(pack._recogniser, "get_feat", counted_features)

    @property
    def looks(self) -> int:
        return self.detector[96]


@pytest.fixture
def runs(extraction: Extraction, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    return Runs(extraction, monkeypatch)


def found(result: FacesInImage | FaceSearchError) -> FacesInImage:
    assert isinstance(result, FacesInImage)
    return result


def test_a_selfie_costs_one_detection_its_looks_and_one_embedding(extraction: Extraction, runs: Runs) -> None:
    assert len(found(extraction.embed_only_face([photos.astronaut().read_bytes()])[0]).faces) == 1
    assert runs.detector == {320: 1, 96: LOOKS}
    assert runs.recogniser == [1]


def test_of_a_crowd_one_chunk_of_faces_gets_one_look_and_none_is_embedded(
    extraction: Extraction, runs: Runs, many_faces: bytes
) -> None:
    crowd_found = found(extraction.embed_only_face([many_faces])[0])
    assert runs.looks == CHUNK
    assert (
        runs.detector.total() <= CHUNK + 2
    )  # at 320, where faces of eleven pixels are not found, and at 640
    assert runs.recogniser == []
    assert 0.9 * LISTED < len(crowd_found.faces) <= LISTED
    assert abs(crowd_found.count - FACES) < FACES / 10
    assert all(face.embedding is None for face in crowd_found.faces)


def test_a_group_photo_is_listed_with_every_face_after_one_look_each(
    extraction: Extraction, runs: Runs
) -> None:
    group = found(extraction.embed_only_face([photos.group_photo().read_bytes()])[0])
    assert (len(group.faces), group.left_out) == (6, 0)
    assert runs.looks == 6
    assert runs.recogniser == []


def test_a_candidate_that_is_no_face_does_not_refuse_a_selfie(extraction: Extraction, runs: Runs) -> None:
    pack = extraction._pack
    image = photos.astronaut().read_bytes()
    [real] = found(extraction.detect([image])[0]).faces
    candidates = pack.candidates

    def with_false_ones(*args: Any, **options: Any) -> Any:
        real_ones = candidates(*args, **options).faces
        nowhere = tuple((x / 8 + 400, y / 8 + 380) for x, y in real.landmarks)
        false_ones = [type(real)(real.bbox, 1.0, nowhere) for _ in range(3 * CHUNK)]
        return Candidates([*false_ones, *real_ones], left_out=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "candidates", with_false_ones)
        only = found(extraction.embed_only_face([image])[0])
    assert len(only.faces) == 1
    assert only.left_out == 0
    assert only.faces[0].embedding is not None


def test_the_recogniser_runs_in_chunks_of_a_fixed_size(
    extraction: Extraction, runs: Runs, many_faces: bytes
) -> None:
    embedded = found(extraction.detect_and_embed([many_faces])[0])
    assert len(embedded.faces) > FACES * 0.9
    assert max(runs.recogniser) == CHUNK
    assert sum(runs.recogniser) == len(embedded.faces)
    assert all(face.embedding is not None for face in embedded.faces)


def test_an_embedding_does_not_depend_on_the_chunk(extraction: Extraction, many_faces: bytes) -> None:
    embedded = found(extraction.detect_and_embed([many_faces])[0]).faces
    some = [embedded[number] for number in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 3, len(embedded) - 1)]
    alone = [found(extraction.embed(many_faces, [face.landmarks])).faces[0] for face in some]
    for one, other in zip(some, alone, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)


def test_beyond_max_faces_the_surest_are_kept_and_the_others_counted(
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
def test_an_image_that_nobody_waits_for_is_not_even_decoded(
    extraction: Extraction, runs: Runs, method: str
) -> None:
    selfie = photos.astronaut().read_bytes()
    dropped, kept = getattr(extraction, method)([b"is not decoded", selfie], lambda number: number == 1)
    assert isinstance(dropped, Dropped)
    assert len(found(kept).faces) == 1


@pytest.mark.parametrize("method", ["detect", "detect_and_embed"])
def test_the_work_ends_within_a_chunk_of_the_moment_when_nobody_waits_any_more(
    extraction: Extraction, runs: Runs, many_faces: bytes, method: str
) -> None:
    getattr(extraction, method)([many_faces])
    whole = runs.detector.total() + len(runs.recogniser)
    for after in (1, whole // 2):
        runs.detector.clear()
        runs.recogniser.clear()
        is_wanted = lambda _, after=after: runs.detector.total() + len(runs.recogniser) < after  # noqa: E731
        [dropped] = getattr(extraction, method)([many_faces], is_wanted)
        assert isinstance(dropped, Dropped)
        assert runs.detector.total() + len(runs.recogniser) < after + CHUNK * LOOKS
