"""Tests that wrong outputs of a network are noticed when it is opened, on every network of the pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bentos.config.settings import Settings
from bentos.pipeline.batched.fixed_session import HostSession, unranked
from bentos.pipeline.batched.self_check import LEAST_COSINE, least_cosine
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
    """Answers with errors of a thousandth, as TF32 makes them."""

    def __init__(self, session: HostSession) -> None:
        self._session, self.buffer = session, session.buffer

    def run(self, names: Sequence[str], count: int) -> Any:
        random = np.random.default_rng(1)
        return [
            made * (1 + 1e-3 * random.standard_normal(made.shape, dtype=np.float32))
            for made in self._session.run(names, count)
        ]


@pytest.fixture(scope="module")
def sessions(pack_folder: Path) -> dict[str, HostSession]:
    """A session of each network, with small inputs of the detector."""
    extraction = extraction_of(
        pack_folder,
        Settings(runner_fixed_shapes="on", runner_max_batch_size=BATCH, detection_size=320),
    )
    networks = extraction._pack._models._networks  # type: ignore[attr-defined]
    usual = {name: network for name, network in networks.items() if network._is_usual}
    return {name: network._session(BATCH) for name, network in usual.items()}


def test_equal_and_rounded_outputs_pass_and_those_of_another_input_do_not(
    sessions: dict[str, HostSession],
) -> None:
    assert {"looks", "landmarks", "recogniser"} < sessions.keys()
    for name, session in sessions.items():
        names = unranked(session.names)
        reference = HostSession(session._session, session.buffer.shape)
        assert least_cosine(session, reference, names) == pytest.approx(1, abs=1e-5), name
        assert least_cosine(Rounded(session), reference, names) > 0.999, name
        for late in (Late(session), OnePlaceLate(session)):
            assert least_cosine(late, reference, names) < 0.9 < LEAST_COSINE, name
