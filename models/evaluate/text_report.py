"""What was measured, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.evaluate.acquisition import State
from models.evaluate.comparisons import Comparisons
from models.evaluate.intervals import Interval
from models.evaluate.measurement import FnmrAt, Measurement, Rate, RatesAt, thresholds
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
        yield f"WARNING: {comparisons.people_count} people are too few for a claim about other people."


def _about(measurement: Measurement) -> Iterator[str]:
    yield f"== {measurement.pack} ({measurement.fingerprint}) =="
    yield from _listed(measurement, "not read", "files not read")
    yield f"failure to acquire (FTA): {_rate(measurement.failure_to_acquire)}"
    yield from _listed(measurement, "no face", "images without a usable face")
    yield from _several_faces(measurement)
    yield _compared("genuine", measurement.genuine)
    yield _compared("impostor", measurement.impostor)
    yield ""
    yield f"{'threshold':>9}  {'FMR [Wilson]':32}  {'FNMR [Wilson]':32}  not matched, faces not found included"
    for threshold in sorted({*thresholds(*_TABLE), measurement.product_threshold}):
        mark = "  <- SCORE_THRESHOLD" if threshold == measurement.product_threshold else ""
        yield _row(measurement.at(threshold)) + mark
    yield ""
    for found in measurement.fnmr_at:
        yield _fnmr_at(found, measurement.impostor)
    yield _recommendation(measurement)
    yield ""
    yield "Look at these first; a wrong label is the usual reason:"
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
    people = f" of {found.people_pairs} pairs of people" if kind == "impostor" else ""
    return (
        f"{kind} pairs compared: {len(scores)} of {found.asked}{people}; "
        f"score mean {scores.mean():.3f}, lowest {scores[0]:.3f}, highest {scores[-1]:.3f}"
    )


def _row(rates: RatesAt) -> str:
    rejected = _percent(rates.rejected.proportion.rate)
    return f"{rates.threshold:9.3f}  {_rate(rates.fmr):32}  {_rate(rates.fnmr):32}  {rejected}"


def _fnmr_at(found: FnmrAt, impostor: ScoreSet) -> str:
    title = f"FNMR at FMR {found.fmr:g}:"
    if found.rates is None:
        pairs, least = len(impostor.scores), needed(RULE_OF_3, found.fmr)
        return f"{title} not carried by {pairs} impostor pairs; at least {least} are needed (rule of 3)"
    by_people = _interval(found.by_people, "{}") if found.by_people else "{no interval: too few people}"
    figures = f"{title} {_rate(found.rates.fnmr)} {by_people}, threshold {found.rates.threshold:.4f}"
    return figures if found.support == "good" else f"{figures}; {_rough(found.fmr, impostor)}"


def _rough(fmr: float, impostor: ScoreSet) -> str:
    return (
        f"a rough figure: {impostor.people_pairs} pairs of people, and the rule of 30 asks for "
        f"{needed(RULE_OF_30, fmr)}"
    )


def _recommendation(measurement: Measurement) -> str:
    chosen, best = measurement.chosen, measurement.recommended
    if best is None:
        pairs = len(measurement.impostor.scores)
        return (
            f"No threshold is recommended for FMR {chosen.fmr:g}: {pairs} impostor pairs carry no FMR below "
            f"{RULE_OF_3 / pairs:.2g} (--fmr)"
        )
    if best.threshold > 1:
        return f"No threshold up to 1 has FMR {chosen.fmr:g}: look at the most similar pairs of two people"
    caution = "" if chosen.support == "good" else f"; {_rough(chosen.fmr, measurement.impostor)}"
    return (
        f"Threshold for FMR {chosen.fmr:g}: {best.threshold:.3f}, where FMR is {_rate(best.fmr)} and FNMR "
        f"{_rate(best.fnmr)}{caution}"
    )


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


def _interval(interval: Interval, brackets: str) -> str:
    return f"{brackets[0]}{_percent(interval.lower)} to {_percent(interval.upper)}{brackets[1]}"


def _percent(rate: float) -> str:
    """Three significant digits."""
    return f"{100 * rate:.3g} %"
