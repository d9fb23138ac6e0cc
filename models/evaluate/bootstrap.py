"""Confidence intervals from a bootstrap over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluate.comparisons import Indices
from models.evaluate.intervals import CONFIDENCE, Interval, wilson
from models.evaluate.rates import Proportion, Scores

REPLICATES = 1000
_USABLE_SHARE = 0.5
_ROUNDING = 1e-9
"""Relative; see `models.evaluate.rates.threshold_at`."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Scores with the people behind them.

    `scores`: (n,) float64, ascending. `first`, `second`: (n,) int64, the people of each pair, equal when genuine.
    """

    scores: Scores
    first: Indices
    second: Indices

    @property
    def people_pairs(self) -> int:
        """How many different people (genuine pairs) or pairs of people (impostor pairs) there are."""
        low, high = np.minimum(self.first, self.second), np.maximum(self.first, self.second)
        return len(np.unique(low * (int(high.max(initial=0)) + 1) + high))


@dataclass(frozen=True, slots=True)
class ByPeople:
    """Intervals; None where too few people allow one.

    `fnmr_at_fmr`: of FNMR at each FMR asked for. `fmr`, `fnmr`: of the rates at each threshold asked for.
    """

    fnmr_at_fmr: tuple[Interval | None, ...]
    fmr: tuple[Interval | None, ...]
    fnmr: tuple[Interval | None, ...]


def intervals_by_people(
    genuine: ScoredPairs,
    impostor: ScoredPairs,
    *,
    people: int,
    fmrs: Sequence[float],
    thresholds: Sequence[float],
    seed: int,
) -> ByPeople:
    """The intervals of FNMR at each of `fmrs`, and of FMR and FNMR at each of `thresholds`.

    Each replicate draws `people` people with replacement. A genuine pair counts as often as its person was drawn, an
    impostor pair as often as the product for its two people. For `fmrs` the threshold is found anew in each replicate.
    The bounds are percentiles over the replicates. Drawing people and not pairs keeps the dependence between pairs that
    share a person. This is the vertex bootstrap of Snijders and Borgatti (Non-parametric standard errors and tests for
    network statistics, Connections 22, 1999), examined for face verification by Fogliato, Patil and Perona (Confidence
    intervals for error rates in 1:1 matching tasks, arXiv 2306.01198).

    A bootstrap that meets no error has no width: then Wilson's interval takes its place, over the people that have a
    genuine pair for FNMR, and over the pairs of people for FMR.
    """
    rng = np.random.default_rng(seed)
    replicates = []
    for _ in range(REPLICATES):
        drawn = np.bincount(rng.integers(people, size=people), minlength=people)
        rates = _rates(genuine, impostor, drawn, np.asarray(fmrs), np.asarray(thresholds))
        if rates is not None:
            replicates.append(rates)
    if len(replicates) < _USABLE_SHARE * REPLICATES:
        return ByPeople((None,) * len(fmrs), (None,) * len(thresholds), (None,) * len(thresholds))
    tail = (1 - CONFIDENCE) / 2
    bounds = np.quantile(np.array(replicates), [tail, 1 - tail], axis=0).T
    at_fmr, fmr, fnmr = np.split(bounds, [len(fmrs), len(fmrs) + len(thresholds)])
    return ByPeople(
        fnmr_at_fmr=_with_width(at_fmr, genuine.people_pairs),
        fmr=_with_width(fmr, impostor.people_pairs),
        fnmr=_with_width(fnmr, genuine.people_pairs),
    )


def _with_width(bounds: _Floats, trials: int) -> tuple[Interval | None, ...]:
    return tuple(_interval(float(lower), float(upper), trials) for lower, upper in bounds)


def _interval(lower: float, upper: float, trials: int) -> Interval | None:
    if lower < upper:
        return Interval(lower, upper)
    return wilson(Proportion(round(lower) * trials, trials)) if lower in (0.0, 1.0) else None


def _rates(
    genuine: ScoredPairs, impostor: ScoredPairs, drawn: Indices, fmrs: _Floats, thresholds: _Floats
) -> _Floats | None:
    """FNMR at `fmrs`, FMR at `thresholds`, FNMR at `thresholds` in one replicate; None when a kind of pair is missing.

    `drawn`: (people,) how often each person was drawn.
    """
    genuine_below = _running_total(drawn[genuine.first])
    impostor_below = _running_total(drawn[impostor.first] * drawn[impostor.second])
    genuine_total, impostor_total = genuine_below[-1], impostor_below[-1]
    if not genuine_total or not impostor_total:
        return None
    # The highest score that must not match is the last one from which more pairs than allowed match.
    allowed = fmrs * impostor_total * (1 + _ROUNDING)
    highest = np.searchsorted(impostor_below, impostor_total - allowed, side="left") - 1
    highest_refused = np.where(highest >= 0, impostor.scores[highest], -np.inf)
    at_fmr = genuine_below[np.searchsorted(genuine.scores, highest_refused, side="right")] / genuine_total
    fmr = 1 - impostor_below[np.searchsorted(impostor.scores, thresholds, side="left")] / impostor_total
    fnmr = genuine_below[np.searchsorted(genuine.scores, thresholds, side="left")] / genuine_total
    return np.concatenate([at_fmr, fmr, fnmr])


def _running_total(weights: Indices) -> Indices:
    """(n + 1,): the sum of the weights before each pair, and of all."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(weights)])
