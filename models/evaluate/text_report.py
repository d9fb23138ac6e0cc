"""What was measured, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.evaluate.acquisition import State
from models.evaluate.comparisons import Comparisons
from models.evaluate.intervals import Interval
from models.evaluate.measurement import FnmrAt, Measurement, Rate, RatesAt, ThresholdByPeople, thresholds
from models.evaluate.rates import RULE_OF_3, RULE_OF_30, needed
from models.evaluate.scoring import LabelledPair, ScoreSet

_LISTED = 10
_DOUBTFUL_SHOWN = 3
_FEW_PEOPLE = 30
_TABLE = (0.2, 0.8, 0.05)


def report(comparisons: Comparisons, measurements: Sequence[Measurement]) -> str:
    """The whole report; lines of at most about 120 characters, apart from paths."""
    blocks = ["\n".join(_about_the_input(comparisons))]
    blocks += ["\n".join(_about(measurement)) for measurement in measurements]
    if len(measurements) > 1:
        blocks.append("\n".join(_side_by_side(measurements)))
    return "\n\n".join(blocks)


def _about_the_input(comparisons: Comparisons) -> Iterator[str]:
    genuine = int(comparisons.genuine.sum())
    impostor = len(comparisons.first) - genuine
    yield f"{len(comparisons.images)} images of {comparisons.people_count} people"
    yield f"genuine pairs:  {genuine} of {comparisons.genuine_possible}"
    yield f"impostor pairs: {impostor} of {comparisons.impostor_possible}"
    yield from comparisons.notes
    yield "Intervals are at 95 %. [Wilson] takes pairs for independent and is too narrow where pairs share people;"
    yield "{people} is a bootstrap over people, which accounts for that."
    if comparisons.people_count < _FEW_PEOPLE:
        count = comparisons.people_count
        yield f"WARNING: {count} people are too few for a claim about other people, and for the bootstrap."


def _about(measurement: Measurement) -> Iterator[str]:
    yield f"== {measurement.pack} ({measurement.fingerprint}) =="
    yield from _listed(measurement, "not read", "files not read")
    yield f"failure to acquire (FTA): {_rate(measurement.failure_to_acquire)}"
    yield from _listed(measurement, "no face", "images without a usable face")
    yield from _several_faces(measurement)
    yield _compared("genuine", measurement.genuine)
    yield _compared("impostor", measurement.impostor)
    yield ""
    yield f"{'threshold':>9}  {'FMR [Wilson]':40}  {'FNMR [Wilson]':35}  not matched*"
    product = measurement.at_product.threshold
    for threshold in sorted({*thresholds(*_TABLE), product}):
        yield _row(measurement.at(threshold)) + ("  <- SCORE_THRESHOLD" if threshold == product else "")
    yield "* share of genuine pairs, those lost because no face was found included"
    yield ""
    for found in measurement.fnmr_at:
        yield from _fnmr_at(found, measurement.impostor)
    yield ""
    yield f"SCORE_THRESHOLD {product:g}:"
    yield from _at_threshold(measurement.at_product)
    yield from _recommendation(measurement)
    yield ""
    yield "Look at these pairs first; photos with a wrong label are among them:"
    yield from _doubtful(measurement, "least similar of one person", measurement.genuine)
    yield from _doubtful(measurement, "most similar of two people", measurement.impostor)


def _listed(measurement: Measurement, state: State, title: str) -> Iterator[str]:
    images = zip(measurement.images, measurement.acquired.images, strict=True)
    found = [f"{path}: {image.reason}" for path, image in images if image.state == state]
    yield from _list(title, found)


def _several_faces(measurement: Measurement) -> Iterator[str]:
    images = zip(measurement.images, measurement.acquired.images, strict=True)
    found = [f"{path}: {image.faces} faces" for path, image in images if image.faces > 1]
    yield from _list("images with several faces, of which the largest is used", found)


def _list(title: str, found: Sequence[str]) -> Iterator[str]:
    yield f"{title}: {len(found)}"
    yield from (f"    {line}" for line in found[:_LISTED])
    if len(found) > _LISTED:
        yield f"    and {len(found) - _LISTED} more (all of them are in the JSON file of --out)"


def _compared(kind: str, found: ScoreSet) -> str:
    scores = found.scores
    people = f", from {found.people_pairs} pairs of people" if kind == "impostor" else ""
    return (
        f"{kind} pairs compared: {len(scores)} of {found.asked}{people}; "
        f"score mean {scores.mean():.3f}, lowest {scores[0]:.3f}, highest {scores[-1]:.3f}"
    )


def _row(rates: RatesAt) -> str:
    rejected = _percent(rates.rejected.proportion.rate)
    return f"{rates.threshold:9.3f}  {_rate(rates.fmr):40}  {_rate(rates.fnmr):35}  {rejected:>11}"


def _fnmr_at(found: FnmrAt, impostor: ScoreSet) -> Iterator[str]:
    title = f"FNMR at FMR {found.fmr:g}:"
    if found.rates is None:
        pairs, least = len(impostor.scores), needed(RULE_OF_3, found.fmr)
        yield f"{title} not carried by {pairs} impostor pairs; at least {least} are needed (rule of 3)"
        return
    rate = _rate(found.rates.fnmr)
    yield f"{title} {rate} {_by_people(found.by_people)}, threshold {found.rates.threshold:.4f}"
    yield from _caution(found, impostor)


def _caution(found: FnmrAt, impostor: ScoreSet) -> Iterator[str]:
    if found.support != "good":
        least = needed(RULE_OF_30, found.fmr)
        yield f"    only a rough figure: {impostor.people_pairs} pairs of people; the rule of 30 asks for {least}"


def _recommendation(measurement: Measurement) -> Iterator[str]:
    chosen, best = measurement.chosen, measurement.recommended
    if best is None:
        pairs = len(measurement.impostor.scores)
        lowest = f"{RULE_OF_3 / pairs:.2g}"
        yield f"No threshold for FMR {chosen.fmr:g}: {pairs} impostor pairs carry no FMR below {lowest} (--fmr)"
    elif best.threshold > 1:
        yield f"No threshold up to 1 has FMR {chosen.fmr:g}: look at the most similar pairs of two people"
    else:
        yield f"Threshold for FMR {chosen.fmr:g}: {best.threshold:.3f}"
        yield from _at_threshold(best)
        yield from _caution(chosen, measurement.impostor)


def _at_threshold(found: ThresholdByPeople) -> Iterator[str]:
    yield f"    FMR  {_rate(found.rates.fmr)} {_by_people(found.fmr_by_people)}"
    yield f"    FNMR {_rate(found.rates.fnmr)} {_by_people(found.fnmr_by_people)}"


def _doubtful(measurement: Measurement, title: str, found: ScoreSet) -> Iterator[str]:
    yield f"  {title}:"
    yield from (f"    {_pair(measurement, pair)}" for pair in found.extremes[:_DOUBTFUL_SHOWN])


def _pair(measurement: Measurement, pair: LabelledPair) -> str:
    first, second = measurement.paths(pair)
    return f"{pair.score:.3f}  {first}  {second}"


def _side_by_side(measurements: Sequence[Measurement]) -> Iterator[str]:
    fmrs = [found.fmr for found in measurements[0].fnmr_at]
    yield "== side by side =="
    yield (
        f"{'pack':20}  {'FTA':>8}"
        + "".join(f"  {f'FNMR@{fmr:g}':>12}" for fmr in fmrs)
        + f"  {'threshold':>9}"
    )
    for each in measurements:
        cells = [_percent(found.rates.fnmr.proportion.rate) if found.rates else "-" for found in each.fnmr_at]
        fta = _percent(each.failure_to_acquire.proportion.rate)
        threshold = f"{each.recommended.threshold:.3f}" if each.recommended else "-"
        yield f"{each.pack:20}  {fta:>8}" + "".join(f"  {cell:>12}" for cell in cells) + f"  {threshold:>9}"
    yield "Each pack compares the pairs in which it found both faces; weigh FNMR together with FTA."


def _rate(rate: Rate) -> str:
    proportion = rate.proportion
    return f"{_percent(proportion.rate)} ({proportion.errors}) {_interval(rate.interval, '[]')}"


def _by_people(interval: Interval | None) -> str:
    return _interval(interval, "{}") if interval else "{no interval: too few people}"


def _interval(interval: Interval, brackets: str) -> str:
    return f"{brackets[0]}{_percent(interval.lower)} to {_percent(interval.upper)}{brackets[1]}"


def _percent(rate: float) -> str:
    """Three significant digits."""
    return f"{100 * rate:.3g} %"
