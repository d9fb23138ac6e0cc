"""Checks that a network gives on a GPU what it gives on the CPU: copies and CUDA graphs in disorder raise no error.

Two pictures take turns, so that outputs of an earlier input are noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAST_COSINE = 0.98
"""Between the outputs for one input: TF32 keeps 0.99999 of the recogniser's; outputs for the other picture have less
than 0.9 in each network (`tests/unit/pipeline/test_self_check.py`)."""

_ROUNDS = 3
_BLOCK = 8


class _Runs(Protocol):
    buffer: NDArray[np.uint8]

    def run(self, names: Sequence[str], count: int) -> list[Floats]: ...


def least_cosine(session: _Runs, reference: _Runs, names: Sequence[str]) -> float:
    """The least cosine between outputs of these names, of every item of the batch; not above 1 by more than rounding.

    The buffers of both are overwritten.
    """
    pictures = [picture(session.buffer.shape, number) for number in (0, 1)]
    expected = [_outputs(reference, each, names) for each in pictures]
    least = 1.0
    for number in (0, 1) * _ROUNDS:
        for made, wanted in zip(_outputs(session, pictures[number], names), expected[number], strict=True):
            lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(wanted, axis=1)
            cosines = (made * wanted).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
            least = min(least, float(np.nan_to_num(cosines, nan=-1.0).min()))
    return least


def _outputs(session: _Runs, pixels: NDArray[np.uint8], names: Sequence[str]) -> list[Floats]:
    """Each output as one row for each item."""
    session.buffer[:] = pixels
    count = len(pixels)
    return [np.array(made).reshape(count, -1) for made in session.run(names, count)]


def picture(shape: Sequence[int], number: int) -> NDArray[np.uint8]:
    """Picture 0, blocks of random grey, or 1, its negative; other ones for each item of the batch: `shape`, uint8."""
    batch, height, width, channels = shape
    blocks = np.random.default_rng(0).integers(
        0, 256, (batch, -(-height // _BLOCK), -(-width // _BLOCK), channels), dtype=np.uint8
    )
    made = blocks.repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)[:, :height, :width]
    return 255 - made if number else made
