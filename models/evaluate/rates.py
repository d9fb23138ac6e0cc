"""Error rates over scores, in the terms of ISO/IEC 19795-1 (biometric performance testing and reporting).

- FMR, false match rate: the share of impostor comparisons whose score reaches the threshold.
- FNMR, false non-match rate: the share of genuine comparisons whose score stays below the threshold.
- FTA, failure-to-acquire rate: the share of images from which no face could be taken.
- DET, detection error trade-off: FNMR over FMR for all thresholds, both axes scaled by the probit function (Martin,
  Doddington, Kamm, Ordowski, Przybocki: The DET curve in assessment of detection task performance, Eurospeech 1997).

A score is the inner product of two unit vectors, -1 to 1; the product takes `score >= threshold` for a match.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

Support = Literal["none", "rough", "good"]

RULE_OF_3 = 3
RULE_OF_30 = 30
_ROUNDING = 1e-9
"""Relative; 0.29 × 100 has to allow 29 false matches, and is 28.999999999999996 in floating point."""
_DECIMALS = 1000


@dataclass(frozen=True, slots=True)
class Proportion:
    """`errors` of `trials`."""

    errors: int
    trials: int

    @property
    def rate(self) -> float:
        """0..1; not a number without trials."""
        return self.errors / self.trials if self.trials else math.nan


def false_matches(impostor: Scores, threshold: float) -> Proportion:
    """FMR at `threshold`. `impostor`: (n,) in ascending order."""
    return Proportion(len(impostor) - int(np.searchsorted(impostor, threshold, side="left")), len(impostor))


def false_non_matches(genuine: Scores, threshold: float) -> Proportion:
    """FNMR at `threshold`. `genuine`: (n,) in ascending order."""
    return Proportion(int(np.searchsorted(genuine, threshold, side="left")), len(genuine))


def threshold_at(impostor: Scores, fmr: float) -> float:
    """The lowest threshold at which FMR is at most `fmr`. `impostor`: (n,) in ascending order.

    It is the next number above the highest impostor score that must not match.
    """
    allowed = math.floor(fmr * len(impostor) * (1 + _ROUNDING))
    if allowed >= len(impostor):
        return -math.inf
    return float(np.nextafter(impostor[len(impostor) - 1 - allowed], np.inf))


def rounded_up(threshold: float) -> float:
    """The threshold with three decimals, upwards: FMR does not become higher by rounding."""
    rounded = math.ceil(threshold * _DECIMALS) / _DECIMALS
    return rounded if rounded >= threshold else rounded + 1 / _DECIMALS


def support_for(fmr: float, *, impostor_pairs: int, people_pairs: int) -> Support:
    """How far the data carry a statement about `fmr`: not at all, roughly, or well.

    Rule of 3: without an error in n independent trials the rate is below 3/n with 95 % confidence (Hanley and
    Lippman-Hand, JAMA 249, 1983), so less than 3/`fmr` pairs cannot show that rate. Rule of 30: with 30 errors the
    rate is within 30 % of the measured one with 90 % confidence (Doddington, Przybocki, Martin, Reynolds, Speech
    Communication 31, 2000). Both rules count independent trials. Several pairs of photos of the same two people are
    not independent, therefore the rule of 30 counts pairs of people.
    """
    if impostor_pairs < needed(RULE_OF_3, fmr):
        return "none"
    return "good" if people_pairs >= needed(RULE_OF_30, fmr) else "rough"


def needed(rule: int, fmr: float) -> int:
    """How many trials the rule of 3 or of 30 asks for."""
    return math.ceil(rule / fmr * (1 - _ROUNDING))
