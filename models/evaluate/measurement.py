"""What is measured about one face pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluate.acquisition import Acquired
from models.evaluate.bootstrap import ByPeople, intervals_by_people
from models.evaluate.comparisons import Comparisons, EvaluationError
from models.evaluate.intervals import Interval, wilson
from models.evaluate.rates import (
    Proportion,
    Support,
    false_matches,
    false_non_matches,
    rounded_up,
    support_for,
    threshold_at,
)
from models.evaluate.scoring import LabelledPair, ScoreSet, scored

FMRS = (1e-2, 1e-3, 1e-4)
_EXTREMES = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate with its Wilson interval."""

    proportion: Proportion
    interval: Interval

    @classmethod
    def of(cls, proportion: Proportion) -> Rate:
        """The rate of `proportion`."""
        return cls(proportion, wilson(proportion))


@dataclass(frozen=True, slots=True)
class RatesAt:
    """The rates at one threshold.

    `rejected`: genuine pairs that are not matched, those lost because no face was found included (the false reject
    rate of ISO/IEC 19795-1 for one attempt, counted over pairs).
    """

    threshold: float
    fmr: Rate
    fnmr: Rate
    rejected: Rate


@dataclass(frozen=True, slots=True)
class ThresholdByPeople:
    """The rates at one threshold, with their intervals from the bootstrap over people."""

    rates: RatesAt
    fmr_by_people: Interval | None
    fnmr_by_people: Interval | None

    @property
    def threshold(self) -> float:
        """The threshold."""
        return self.rates.threshold


@dataclass(frozen=True, slots=True)
class FnmrAt:
    """FNMR at an FMR. Where `support` is "none", `rates` is None.

    `by_people`: the interval of the FNMR from the bootstrap over people, the threshold found anew in each replicate.
    """

    fmr: float
    support: Support
    rates: RatesAt | None
    by_people: Interval | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything about one pack.

    `at_product`: the rates at the threshold of the settings. `recommended`: the rates at the threshold to set for the
    chosen FMR, None where the pairs do not carry it.
    """

    pack: str
    fingerprint: str
    images: tuple[Path, ...]
    acquired: Acquired
    failure_to_acquire: Rate
    genuine: ScoreSet
    impostor: ScoreSet
    at_product: ThresholdByPeople
    fnmr_at: tuple[FnmrAt, ...]
    chosen: FnmrAt
    recommended: ThresholdByPeople | None

    def at(self, threshold: float) -> RatesAt:
        """The rates at `threshold`."""
        return _rates_at(self.genuine, self.impostor, threshold)

    def paths(self, pair: LabelledPair) -> tuple[Path, Path]:
        """The two files of a pair."""
        return self.images[pair.first], self.images[pair.second]


@dataclass(frozen=True, slots=True)
class PackName:
    """A pack by its name, and which version of it was measured."""

    name: str
    fingerprint: str


def measure(
    pack: PackName,
    comparisons: Comparisons,
    acquired: Acquired,
    *,
    product_threshold: float,
    chosen_fmr: float,
    seed: int,
) -> Measurement:
    """Measure one pack from its embeddings. Raises `EvaluationError` when no genuine or no impostor pair is left."""
    genuine = scored(comparisons, acquired, genuine=True, extremes=_EXTREMES)
    impostor = scored(comparisons, acquired, genuine=False, extremes=_EXTREMES)
    for kind, scores in (("genuine", genuine), ("impostor", impostor)):
        if not len(scores.scores):
            raise EvaluationError(
                f"{pack.name}: no {kind} pair is left, because a face was found in too few images."
            )
    fmrs = sorted({*FMRS, chosen_fmr}, reverse=True)
    recommended = rounded_up(threshold_at(impostor.scores, chosen_fmr))
    by_people = intervals_by_people(
        genuine.pairs,
        impostor.pairs,
        people=comparisons.people_count,
        fmrs=fmrs,
        thresholds=(product_threshold, recommended),
        seed=seed,
    )
    at_product, at_recommended = (
        ThresholdByPeople(_rates_at(genuine, impostor, threshold), by_people.fmr[n], by_people.fnmr[n])
        for n, threshold in enumerate((product_threshold, recommended))
    )
    fnmr_at = _fnmr_at(genuine, impostor, fmrs, by_people)
    chosen = fnmr_at[fmrs.index(chosen_fmr)]
    return Measurement(
        pack=pack.name,
        fingerprint=pack.fingerprint,
        images=comparisons.images,
        acquired=acquired,
        failure_to_acquire=Rate.of(_failure_to_acquire(acquired)),
        genuine=genuine,
        impostor=impostor,
        at_product=at_product,
        fnmr_at=fnmr_at,
        chosen=chosen,
        recommended=None if chosen.support == "none" else at_recommended,
    )


def thresholds(lowest: float, highest: float, step: float) -> Sequence[float]:
    """`lowest` to `highest`, both included."""
    return [round(lowest + n * step, 6) for n in range(round((highest - lowest) / step) + 1)]


def _fnmr_at(
    genuine: ScoreSet, impostor: ScoreSet, fmrs: Sequence[float], by_people: ByPeople
) -> tuple[FnmrAt, ...]:
    pairs, people_pairs = len(impostor.scores), impostor.people_pairs
    found = []
    for fmr, interval in zip(fmrs, by_people.fnmr_at_fmr, strict=True):
        support = support_for(fmr, impostor_pairs=pairs, people_pairs=people_pairs)
        rates = _rates_at(genuine, impostor, threshold_at(impostor.scores, fmr))
        found.append(
            FnmrAt(fmr, support, None, None) if support == "none" else FnmrAt(fmr, support, rates, interval)
        )
    return tuple(found)


def _rates_at(genuine: ScoreSet, impostor: ScoreSet, threshold: float) -> RatesAt:
    missed = false_non_matches(genuine.scores, threshold)
    lost = genuine.without_face
    return RatesAt(
        threshold=threshold,
        fmr=Rate.of(false_matches(impostor.scores, threshold)),
        fnmr=Rate.of(missed),
        rejected=Rate.of(Proportion(missed.errors + lost, missed.trials + lost)),
    )


def _failure_to_acquire(acquired: Acquired) -> Proportion:
    """Over the images that could be read."""
    states = [image.state for image in acquired.images]
    return Proportion(states.count("no face"), len(states) - states.count("not read"))
