"""What is measured about one face pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluate.acquisition import Acquired
from models.evaluate.comparisons import Comparisons
from models.evaluate.intervals import Interval, fnmr_by_people, wilson
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


class NothingToCompareError(Exception):
    """Too few images have a face: no genuine or no impostor pair is left."""


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
class FnmrAt:
    """FNMR at an FMR. Where `support` is "none", nothing else is stated.

    `by_people`: the interval of the FNMR from the bootstrap over people.
    """

    fmr: float
    support: Support
    rates: RatesAt | None
    by_people: Interval | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything about one pack.

    `recommended`: the rates at the threshold to set for the chosen FMR, None where the pairs do not carry it.
    """

    pack: str
    fingerprint: str
    images: tuple[Path, ...]
    acquired: Acquired
    failure_to_acquire: Rate
    genuine: ScoreSet
    impostor: ScoreSet
    product_threshold: float
    fnmr_at: tuple[FnmrAt, ...]
    chosen: FnmrAt
    recommended: RatesAt | None

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
    """Measure one pack from its embeddings. Raises `NothingToCompareError`."""
    genuine = scored(comparisons, acquired, genuine=True, extremes=_EXTREMES)
    impostor = scored(comparisons, acquired, genuine=False, extremes=_EXTREMES)
    for kind, scores in (("genuine", genuine), ("impostor", impostor)):
        if not len(scores.scores):
            raise NothingToCompareError(
                f"{pack.name}: no {kind} pair is left, because a face was found in too few images."
            )
    fmrs = sorted({*FMRS, chosen_fmr}, reverse=True)
    people = comparisons.people_count
    intervals = fnmr_by_people(genuine.pairs, impostor.pairs, fmrs=fmrs, people=people, seed=seed)
    fnmr_at = tuple(
        _fnmr_at(genuine, impostor, fmr, by_people) for fmr, by_people in zip(fmrs, intervals, strict=True)
    )
    chosen = next(each for each in fnmr_at if each.fmr == chosen_fmr)
    return Measurement(
        pack=pack.name,
        fingerprint=pack.fingerprint,
        images=comparisons.images,
        acquired=acquired,
        failure_to_acquire=Rate.of(_failure_to_acquire(acquired)),
        genuine=genuine,
        impostor=impostor,
        product_threshold=product_threshold,
        fnmr_at=fnmr_at,
        chosen=chosen,
        recommended=chosen.rates and _rates_at(genuine, impostor, rounded_up(chosen.rates.threshold)),
    )


def thresholds(lowest: float, highest: float, step: float) -> Sequence[float]:
    """`lowest` to `highest`, both included."""
    return [round(lowest + n * step, 6) for n in range(round((highest - lowest) / step) + 1)]


def _fnmr_at(genuine: ScoreSet, impostor: ScoreSet, fmr: float, by_people: Interval | None) -> FnmrAt:
    support = support_for(fmr, impostor_pairs=len(impostor.scores), people_pairs=impostor.people_pairs)
    if support == "none":
        return FnmrAt(fmr, support, None, None)
    return FnmrAt(fmr, support, _rates_at(genuine, impostor, threshold_at(impostor.scores, fmr)), by_people)


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
