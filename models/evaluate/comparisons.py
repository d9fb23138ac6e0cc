"""Which images are compared with which, and which of these pairs show the same person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class EvaluationError(Exception):
    """Nothing can be measured; the message is a sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The pairs to compare.

    `images`: n files. `people`: (n,) int64, the number of the person in each, 0..p-1. `first`, `second`: (m,) int64,
    the images of each pair. A pair is genuine when both images show the same person, else it is an impostor pair.
    `notes`: sentences about input that was passed over. `genuine_possible`, `impostor_possible`: how many pairs the
    photos allow; more than are compared when pairs were sampled.
    """

    images: tuple[Path, ...]
    people: Indices
    first: Indices
    second: Indices
    genuine_possible: int
    impostor_possible: int
    notes: tuple[str, ...] = ()

    @property
    def genuine(self) -> NDArray[np.bool_]:
        """(m,) bool: whether a pair is genuine."""
        same: NDArray[np.bool_] = self.people[self.first] == self.people[self.second]
        return same

    @property
    def people_count(self) -> int:
        """How many people there are."""
        return int(self.people.max(initial=-1)) + 1


def with_both_kinds(comparisons: Comparisons) -> Comparisons:
    """The same pairs. Raises `EvaluationError` when there is no genuine or no impostor pair among them."""
    genuine = int(comparisons.genuine.sum())
    if not genuine:
        raise EvaluationError(
            "No pair shows the same person twice: FNMR needs two photos of at least one person."
        )
    if genuine == len(comparisons.first):
        raise EvaluationError("No pair shows two people: FMR needs photos of at least two people.")
    return comparisons
