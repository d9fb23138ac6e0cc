"""Tests that wrong outputs of a network are noticed when it is opened, on every network of the pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bentos.config.settings import Settings
from bentos.pipeline.batched.fixed_session import HostSession
from bentos.pipeline.batched.graphs import ALL_ROWS, ALL_SCORES, BEST_ROWS, BEST_SCORES
from bentos.pipeline.batched.self_check import LEAST_COSINE, SelfCheck, has_best_rows
from bentos.runner.local import extraction_of

BATCH = 4


class Late:
    """Answers with the outputs of the input before, as a copy does that has not ended."""

    def __init__(self, session: HostSession) -> None:
        self._session, self.buffer = session, session.buffer.copy()
        self._last: NDArray[np.uint8] = session.buffer.copy()

    def run(self, names: Sequence[str], count: int) -> Any:
        self._session.buffer[:], self._last = self._last, self.buffer.copy()
        return self._session.run(names, count)


class OnePlaceLate(Late):
    """Only the last item of the batch is that of the input before."""

    def run(self, names: Sequence[str], count: int) -> Any:
        self._session.buffer[:] = self.buffer
        self._session.buffer[-1], self._last = self._last[-1], self.buffer.copy()
        return self._session.run(names, count)


class Rounded:
    """Answers with errors of a thousandth, as TF32 makes them; the best candidates are the best of those."""

    def __init__(self, session: HostSession) -> None:
        self._session, self.buffer = session, session.buffer

    def run(self, names: Sequence[str], count: int) -> Any:
        random = np.random.default_rng(1)
        made = {
            name: output * (1 + 1e-3 * random.standard_normal(output.shape, dtype=np.float32))
            for name, output in zip(names, self._session.run(names, count), strict=True)
        }
        if BEST_ROWS in made:
            order = np.argsort(-made[ALL_SCORES], axis=1)[:, : made[BEST_SCORES].shape[1]]
            made[BEST_SCORES] = np.take_along_axis(made[ALL_SCORES], order, axis=1)
            made[BEST_ROWS] = np.take_along_axis(made[ALL_ROWS], order[..., None], axis=1)
        return [made[name] for name in names]


class OldBest(Late):
    """Of a detector only the best candidates are those of the input before."""

    def run(self, names: Sequence[str], count: int) -> Any:
        self._session.buffer[:] = self._last
        old = dict(zip(names, self._session.run(names, count), strict=True))
        self._session.buffer[:], self._last = self.buffer, self.buffer.copy()
        made = dict(zip(names, self._session.run(names, count), strict=True))
        return [(old if name in {BEST_SCORES, BEST_ROWS} else made)[name] for name in names]


@pytest.fixture(scope="module")
def sessions(pack_folder: Path) -> dict[str, HostSession]:
    """A session of each network, with small inputs of the detector."""
    extraction = extraction_of(
        pack_folder,
        Settings(runner_fixed_shapes="on", runner_max_batch_size=BATCH, detection_size=320),
    )
    networks = extraction._pack._models._networks  # type: ignore[attr-defined]
    usual = {name: network for name, network in networks.items() if network._opens_early}
    return {name: network._session(BATCH) for name, network in usual.items()}


def test_equal_and_rounded_outputs_pass_and_those_of_another_input_do_not(
    sessions: dict[str, HostSession],
) -> None:
    assert {"looks", "landmarks", "recogniser"} < sessions.keys()
    for name, session in sessions.items():
        check = SelfCheck(HostSession(session._session, session.buffer.shape), session.names)
        assert check.least_cosine(session) == pytest.approx(1, abs=1e-5), name
        assert check.least_cosine(Rounded(session)) > 0.999, name
        for late in (Late(session), OnePlaceLate(session)):
            assert check.least_cosine(late) < 0.9 < LEAST_COSINE, name


def test_best_candidates_of_another_input_are_noticed_though_all_candidates_are_right(
    sessions: dict[str, HostSession],
) -> None:
    detectors = {name: each for name, each in sessions.items() if BEST_ROWS in each.names}
    assert len(detectors) > 2
    for name, session in detectors.items():
        check = SelfCheck(HostSession(session._session, session.buffer.shape), session.names)
        assert check.least_cosine(OldBest(session)) == -1, name


def test_rows_of_equal_scores_may_take_any_order_and_others_may_not() -> None:
    scores = np.array([[0.1, 0.9, 0.5, 0.5, 0.3]], np.float32)
    rows = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    best = np.array([[0.9, 0.5, 0.5]], np.float32)
    assert has_best_rows(scores, rows, best, rows[:, [1, 2, 3]])
    assert has_best_rows(scores, rows, best, rows[:, [1, 3, 2]])
    assert not has_best_rows(scores, rows, best, rows[:, [0, 3, 2]])
    assert not has_best_rows(scores, rows, best[:, [0, 1]] - 0.1, rows[:, [1, 2]])
    cut = best[:, :2]  # the third one has the same score as the second
    assert has_best_rows(scores, rows, cut, rows[:, [1, 3]])
