"""Confidence intervals of proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from models.evaluate.rates import Proportion

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper bound, 0..1, at 95 % confidence."""

    lower: float
    upper: float


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
