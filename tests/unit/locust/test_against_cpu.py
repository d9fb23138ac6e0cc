"""Tests that the comparison with the CPU notices faces and embeddings that are not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.against_cpu import against_the_cpu
from bench.gpu_report import Report
from bench.runner_load import _Part
from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.errors import InternalError
from bentos.domain.faces import FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.runner.codec import Timing, asked_of, decode_request, encode_answer, with_timing
from bentos.runner.local import extraction_of


class Altered:
    """Answers of an extraction, of which `alter` changes those of one method."""

    def __init__(self, extraction: Extraction, method: str = "", alter=lambda found: found) -> None:
        self._extraction, self._method, self._alter = extraction, method, alter

    def answers(self, method, payloads):
        asked = [asked_of(method, decode_request(each)) for each in payloads]
        found = self._extraction.run(method, asked, lambda _: True)
        if method == self._method:
            found = [self._alter(each) for each in found]
        return [with_timing(Timing(0.0, 0.0, 0.0, 0.0, 0.0), encode_answer(each)) for each in found]


@pytest.fixture(scope="module")
def extraction(pack_folder: Path) -> Extraction:
    return extraction_of(pack_folder, Settings())


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [photos.astronaut().read_bytes(), photos.group_photo().read_bytes()]


def without_a_face(found: FacesInImage) -> FacesInImage:
    return replace(found, faces=found.faces[1:])


def of_another_face(found: FacesInImage) -> FacesInImage:
    embeddings = [face.embedding for face in found.faces]
    faces = zip(found.faces, [*embeddings[1:], embeddings[0]], strict=True)
    return replace(found, faces=tuple(replace(face, embedding=each) for face, each in faces))


def test_the_same_faces_are_right(extraction: Extraction, files: list[bytes]) -> None:
    compared = against_the_cpu(Altered(extraction), extraction, files)
    assert compared["are_right"]
    assert compared["faces"] == compared["faces_of_the_cpu"] == 7
    assert compared["least_cosine"] == compared["least_cosine_on_equal_crops"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "alter"),
    [
        ("detect_and_embed", without_a_face),
        ("detect_and_embed", of_another_face),
        ("embed", of_another_face),
        ("detect_and_embed", lambda _: InternalError()),
        ("embed", lambda _: InternalError()),
    ],
    ids=["a face less", "another face", "another embedding", "errors", "errors at known landmarks"],
)
def test_other_faces_are_wrong_and_the_report_says_so(
    extraction: Extraction, files: list[bytes], tmp_path: Path, method, alter
) -> None:
    report = Report(tmp_path, budget=60)
    ours = Altered(extraction, method, alter)
    report.add("pipeline", lambda: {"against_the_cpu": against_the_cpu(ours, extraction, files)})
    assert not report.failed
    assert "WRONG ANSWERS" in report.doubt


def test_a_report_without_the_comparison_says_so(tmp_path: Path) -> None:
    assert "NOT COMPARED" in Report(tmp_path, budget=60).doubt
    report = Report(tmp_path, budget=-1)
    report.add("pipeline", lambda: {"against_the_cpu": {"are_right": True}})
    assert "skipped" in report.text()
    assert "NOT COMPARED" in report.doubt
    report = Report(tmp_path, budget=60)
    report.add("pipeline", lambda: {"against_the_cpu": {"are_right": True}})
    assert not report.doubt


def test_answers_to_the_same_image_are_compared_under_load(
    extraction: Extraction, files: list[bytes]
) -> None:
    part = _Part()
    [found] = extraction.detect_and_embed(files[1:])
    for _ in range(2):
        part.see(0, found)
    assert (part.faces, round(part.least_cosine, 3)) == (12, 1)
    part.see(0, of_another_face(found))
    assert part.least_cosine < 0.5
    assert np.isfinite(part.least_cosine)
