"""Confidence intervals of error rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.evaluate.comparisons import Indices
from models.evaluate.rates import Proportion, Scores

CONFIDENCE = 0.95
REPLICATES = 1000
_USABLE_SHARE = 0.5
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper bound, 0..1, at 95 % confidence."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Scores with the people behind them.

    `scores`: (n,) float64, ascending. `first`, `second`: (n,) int64, the people of each pair, equal when genuine.
    """

    scores: Scores
    first: Indices
    second: Indices


def wilson(proportion: Proportion) -> Interval:
    """The score interval of a proportion of independent trials; 0 to 1 without trials.

    E. B. Wilson: Probable inference, the law of succession, and statistical inference, JASA 22, 1927. It holds for
    few errors too, none included. Pairs that share people are not independent: then it is too narrow.
    """
    n = proportion.trials
    if not n:
        return Interval(0.0, 1.0)
    p, z = proportion.rate, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    lower = 0.0 if proportion.errors == 0 else max(0.0, centre - half)
    upper = 1.0 if proportion.errors == n else min(1.0, centre + half)
    return Interval(lower, upper)


def fnmr_by_people(
    genuine: ScoredPairs, impostor: ScoredPairs, *, fmrs: Sequence[float], people: int, seed: int
) -> list[Interval | None]:
    """The interval of FNMR at each of `fmrs`, by a bootstrap over people; None where too few people allow one.

    Each replicate draws `people` people with replacement. A genuine pair counts as often as its person was drawn, an
    impostor pair as often as the product for its two people. The threshold is found anew in each replicate. The bounds
    are percentiles over the replicates. Drawing people and not pairs keeps the dependence between pairs that share a
    person. This is the vertex bootstrap of Snijders and Borgatti (Non-parametric standard errors and tests for network
    statistics, Connections 22, 1999), examined for face verification by Fogliato, Patil and Perona (Confidence
    intervals for error rates in 1:1 matching tasks, arXiv 2306.01198).

    A bootstrap that never meets an error has no width. Wilson's interval over the people that have a genuine pair
    takes its place.
    """
    rng = np.random.default_rng(seed)
    replicates = []
    for _ in range(REPLICATES):
        drawn = np.bincount(rng.integers(people, size=people), minlength=people)
        found = _weighted_fnmr(genuine, impostor, fmrs, drawn)
        if found is not None:
            replicates.append(found)
    if len(replicates) < _USABLE_SHARE * REPLICATES:
        return [None] * len(fmrs)
    tail = (1 - CONFIDENCE) / 2
    bounds = np.quantile(np.array(replicates), [tail, 1 - tail], axis=0)
    measured = len(np.unique(genuine.first))
    return [_with_width(float(lower), float(upper), measured) for lower, upper in bounds.T]


def _with_width(lower: float, upper: float, people: int) -> Interval | None:
    if lower < upper:
        return Interval(lower, upper)
    return wilson(Proportion(round(lower) * people, people)) if lower in (0.0, 1.0) else None


def _weighted_fnmr(
    genuine: ScoredPairs, impostor: ScoredPairs, fmrs: Sequence[float], drawn: Indices
) -> NDArray[np.float64] | None:
    """FNMR at each of `fmrs` when person p counts `drawn[p]` times; None when no genuine or no impostor pair counts."""
    genuine_below = np.concatenate([[0], np.cumsum(drawn[genuine.first])])
    matching = np.cumsum((drawn[impostor.first] * drawn[impostor.second])[::-1])
    if not genuine_below[-1] or not matching[-1]:
        return None
    allowed = np.asarray(fmrs) * matching[-1] * (1 + _ROUNDING)
    too_many = np.searchsorted(matching, allowed, side="right")
    highest_refused = np.append(impostor.scores[::-1], -np.inf)[too_many]
    refused = genuine_below[np.searchsorted(genuine.scores, highest_refused, side="right")]
    result: NDArray[np.float64] = refused / genuine_below[-1]
    return result
