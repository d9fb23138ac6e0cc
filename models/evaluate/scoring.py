"""Scores of the pairs whose two images both have an embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.evaluate.acquisition import Acquired
from models.evaluate.bootstrap import ScoredPairs
from models.evaluate.comparisons import Comparisons, Indices
from models.evaluate.rates import Scores

_CHUNK = 8192
"""Pairs scored at once: 32 MB of embeddings at 512 dimensions."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A pair of images, by their numbers, and its score."""

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True)
class ScoreSet:
    """The scored pairs of one kind.

    `asked`: pairs before any was left out. `without_face`: pairs left out because an image has no face, and both could
    be read. `extremes`: the pairs that contradict their label most, worst first.
    """

    pairs: ScoredPairs
    asked: int
    without_face: int
    extremes: tuple[LabelledPair, ...]

    @property
    def scores(self) -> Scores:
        """(n,) float64, ascending."""
        return self.pairs.scores

    @property
    def people_pairs(self) -> int:
        """How many different people (genuine pairs) or pairs of people (impostor pairs) there are."""
        return self.pairs.people_pairs


def scored(comparisons: Comparisons, acquired: Acquired, *, genuine: bool, extremes: int) -> ScoreSet:
    """The scores of the genuine or of the impostor pairs. A score is the inner product of two embeddings."""
    wanted = comparisons.genuine == genuine
    first, second = comparisons.first[wanted], comparisons.second[wanted]
    usable = acquired.usable[first] & acquired.usable[second]
    readable = np.array([image.state != "not read" for image in acquired.images], dtype=np.bool_)
    both_read = readable[first] & readable[second]
    first, second = first[usable], second[usable]
    scores = _scores(acquired, first, second)
    order = np.argsort(scores, kind="stable")
    first, second, scores = first[order], second[order], scores[order]
    worst = range(len(scores))[:extremes] if genuine else range(len(scores))[::-1][:extremes]
    return ScoreSet(
        pairs=ScoredPairs(scores, comparisons.people[first], comparisons.people[second]),
        asked=int(wanted.sum()),
        without_face=int((both_read & ~usable).sum()),
        extremes=tuple(LabelledPair(int(first[n]), int(second[n]), float(scores[n])) for n in worst),
    )


def _scores(acquired: Acquired, first: Indices, second: Indices) -> Scores:
    scores = np.empty(len(first), dtype=np.float64)
    for begin in range(0, len(first), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        left, right = acquired.embeddings[first[chunk]], acquired.embeddings[second[chunk]]
        scores[chunk] = np.einsum("ij,ij->i", left, right)
    return scores
