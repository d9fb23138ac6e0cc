"""Checks that a network gives on a GPU what it gives on the CPU: copies and CUDA graphs in disorder raise no error.

Two pictures take turns, so that outputs of an earlier input are noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bentos.pipeline.batched.graphs import ALL_ROWS, ALL_SCORES, BEST_ROWS, BEST_SCORES
from bentos.pipeline.detector import Floats

LEAST_COSINE = 0.98
"""Between the outputs for one input: TF32 keeps 0.99999 of the recogniser's; outputs for the other picture have less
than 0.9 in each network (`tests/unit/pipeline/test_self_check.py`)."""

_ALL, _RANKED = (ALL_SCORES, ALL_ROWS), (BEST_SCORES, BEST_ROWS)
_ROUNDS = 3
_BLOCK = 8


class _Runs(Protocol):
    buffer: NDArray[np.uint8]

    def run(self, names: Sequence[str], count: int) -> list[Floats]: ...


class SelfCheck:
    """What a network gives for both pictures on the CPU, `reference`, to compare a session on a GPU with.

    `names`: its outputs. The rows of the best candidates are compared with those of all candidates of the same run,
    because two devices may put candidates of nearly equal scores in different orders.
    """

    def __init__(self, reference: _Runs, names: Sequence[str]) -> None:
        self._names = names
        self._pictures = [picture(reference.buffer.shape, number) for number in (0, 1)]
        self._expected = [self._outputs(reference, each) for each in self._pictures]

    def least_cosine(self, session: _Runs) -> float:
        """The least cosine between outputs, of every item of the batch; not above 1 by more than rounding.

        -1 when the best candidates are not the best ones of all. The buffer of `session` is overwritten.
        """
        least = 1.0
        for number in (0, 1) * _ROUNDS:
            made = self._outputs(session, self._pictures[number])
            if set(_RANKED) <= made.keys() and not has_best_rows(*(made[name] for name in (*_ALL, *_RANKED))):
                return -1.0
            for name, expected in self._expected[number].items():
                if name not in _RANKED:
                    least = min(least, _least_cosine(made[name], expected))
        return least

    def _outputs(self, session: _Runs, pixels: NDArray[np.uint8]) -> dict[str, Floats]:
        """All outputs of one run: those of an earlier one may hide in each of them."""
        session.buffer[:] = pixels
        made = session.run(self._names, len(pixels))
        return {name: np.array(each) for name, each in zip(self._names, made, strict=True)}


def has_best_rows(scores: Floats, rows: Floats, best_scores: Floats, best_rows: Floats) -> bool:
    """Whether (batch, k) `best_scores` are the best of (batch, n) `scores`, and `best_rows` their rows.

    Rows with equal scores may take any order.
    """
    count = best_scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    if not np.array_equal(ranked[:, :count], best_scores):
        return False
    differs = np.ones((len(scores), ranked.shape[1] + 1), dtype=bool)
    differs[:, 1:-1] = ranked[:, 1:] != ranked[:, :-1]
    is_single = (differs[:, :-1] & differs[:, 1:])[:, :count]
    expected = np.take_along_axis(rows, order[:, :count, None], axis=1)
    return np.array_equal(expected[is_single], best_rows[is_single])


def _least_cosine(made: Floats, wanted: Floats) -> float:
    made, wanted = (each.reshape(len(each), -1) for each in (made, wanted))
    lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(wanted, axis=1)
    cosines = (made * wanted).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def picture(shape: Sequence[int], number: int) -> NDArray[np.uint8]:
    """Picture 0, blocks of random grey, or 1, its negative; other ones for each item of the batch: `shape`, uint8."""
    batch, height, width, channels = shape
    blocks = np.random.default_rng(0).integers(
        0, 256, (batch, -(-height // _BLOCK), -(-width // _BLOCK), channels), dtype=np.uint8
    )
    made = blocks.repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)[:, :height, :width]
    return 255 - made if number else made
