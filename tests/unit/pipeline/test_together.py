"""Tests the work on several images at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from bentos.domain.errors import FaceSearchError, InvalidImageFormat
from bentos.domain.faces import BoundingBox, Face
from bentos.pipeline import together as module
from bentos.pipeline.chunks import CHUNK
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Refine, Step, Work, refine
from bentos.pipeline.together import work_together
from bentos.pipeline.wanted import Dropped, IsWanted, always_wanted
from tests.unit.pipeline.shown import shown

IMAGE = shown(np.zeros((10, 10, 3), np.uint8))


def _faces(count: int) -> list[Face]:
    return [Face(BoundingBox(n, 0, n + 1, 1), 0.9, ()) for n in range(count)]


class Refiner:
    """Networks that confirm every second face, and record the number of faces of each run."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def most(self, _kind: type[Step]) -> int:
        return CHUNK

    def run(self, kind: type[Step], items: Sequence[Any]) -> list[Face | None]:
        assert kind is Refine
        self.runs.append(len(items))
        return [face if face.bbox.x1 % 2 == 0 else None for _, face in items]


def _together(
    works: Iterable[Work[list[int]]], refiner: Refiner, is_wanted: IsWanted = always_wanted
) -> list[list[int] | FaceSearchError]:
    return work_together(works, refiner, StageClock(), is_wanted)


def _work(*counts: int) -> Work[list[int]]:
    """Requests refinement of each number of faces in turn; returns how many faces each reply confirmed."""
    confirmed = []
    for count in counts:
        reply = yield from refine(IMAGE, _faces(count))
        confirmed.append(sum(face is not None for face in reply))
    return confirmed


def _failing() -> Work[list[int]]:
    yield from refine(IMAGE, _faces(1))
    raise InvalidImageFormat("broken")


def test_each_work_gets_the_reply_to_its_own_request() -> None:
    refiner = Refiner()
    assert _together([_work(3, 1), _work(), _work(4)], refiner) == [[2, 1], [], [2]]
    assert refiner.runs == [7, 1]


def test_one_run_has_a_chunk_of_faces_at_most() -> None:
    refiner = Refiner()
    assert _together([_work(2 * CHUNK), _work(10)], refiner) == [[CHUNK], [5]]
    assert refiner.runs == [CHUNK, CHUNK, 10]


def test_a_failing_work_does_not_affect_the_others() -> None:
    results = _together([_failing(), _work(2, 2)], Refiner())
    assert isinstance(results[0], InvalidImageFormat)
    assert results[1] == [1, 1]


def test_unwanted_work_ends_between_two_chunks_and_costs_no_further_runs() -> None:
    refiner = Refiner()

    def is_wanted(number: int) -> bool:
        return number == 1 or not refiner.runs

    results = _together([_work(3 * CHUNK, 5), _work(2)], refiner, is_wanted)
    assert isinstance(results[0], Dropped)
    assert results[1] == [1]
    assert sum(refiner.runs) == CHUNK + 2


def test_images_beyond_the_memory_that_may_be_held_wait_until_those_before_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        module, "_MOST_PIXELS", 250
    )  # two images of a hundred pixels, and a third that is over the limit
    refiner = Refiner()
    assert _together([_work(1) for _ in range(7)], refiner) == [[1]] * 7
    assert refiner.runs == [3, 3, 1]
