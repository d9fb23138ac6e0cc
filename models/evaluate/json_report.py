"""Everything that was measured, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from models.evaluate.bootstrap import REPLICATES
from models.evaluate.comparisons import Comparisons
from models.evaluate.intervals import CONFIDENCE, Interval
from models.evaluate.measurement import FnmrAt, Measurement, Rate, RatesAt, ThresholdByPeople, thresholds
from models.evaluate.scoring import LabelledPair, ScoreSet

Json = dict[str, object]


def write_json(file: Path, comparisons: Comparisons, measurements: Sequence[Measurement]) -> None:
    """Write the file. Rates are 0..1, intervals [lower, upper]; null is what the pairs do not carry."""
    content: Json = {
        "terms": "ISO/IEC 19795-1: FMR, FNMR, FTA",
        "intervals": {
            "confidence": CONFIDENCE,
            "interval": "Wilson; it takes pairs for independent",
            "interval_by_people": f"bootstrap over people, {REPLICATES} replicates, percentiles",
        },
        "people": comparisons.people_count,
        "genuine_pairs_possible": comparisons.genuine_possible,
        "impostor_pairs_possible": comparisons.impostor_possible,
        "notes": list(comparisons.notes),
        "packs": [_pack(measurement) for measurement in measurements],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _pack(measurement: Measurement) -> Json:
    images = list(zip(measurement.images, measurement.acquired.images, strict=True))
    return {
        "pack": measurement.pack,
        "fingerprint": measurement.fingerprint,
        "images": len(images),
        "not_read": [
            {"path": str(path), "reason": image.reason} for path, image in images if image.state == "not read"
        ],
        "no_face": [
            {"path": str(path), "reason": image.reason} for path, image in images if image.state == "no face"
        ],
        "several_faces": [
            {"path": str(path), "faces": image.faces} for path, image in images if image.faces > 1
        ],
        "failure_to_acquire": _rate(measurement.failure_to_acquire),
        "genuine": _score_set(measurement, measurement.genuine),
        "impostor": _score_set(measurement, measurement.impostor),
        "at_score_threshold": _by_people(measurement.at_product),
        "fnmr_at_fmr": [_fnmr_at(each) for each in measurement.fnmr_at],
        "recommended": measurement.recommended
        and {"for_fmr": measurement.chosen.fmr, **_by_people(measurement.recommended)},
        "by_threshold": [_rates_at(measurement.at(threshold)) for threshold in thresholds(-1.0, 1.0, 0.01)],
    }


def _score_set(measurement: Measurement, found: ScoreSet) -> Json:
    return {
        "pairs": found.asked,
        "scored": len(found.scores),
        "without_face": found.without_face,
        "pairs_of_people": found.people_pairs,
        "most_doubtful": [_pair(measurement, pair) for pair in found.extremes],
    }


def _pair(measurement: Measurement, pair: LabelledPair) -> Json:
    first, second = measurement.paths(pair)
    return {"path_a": str(first), "path_b": str(second), "score": pair.score}


def _fnmr_at(found: FnmrAt) -> Json:
    rates = _rates_at(found.rates) if found.rates else None
    return {
        "fmr": found.fmr,
        "support": found.support,
        "rates": rates,
        "fnmr_interval_by_people": _interval(found.by_people),
    }


def _by_people(found: ThresholdByPeople) -> Json:
    return {
        **_rates_at(found.rates),
        "fmr_interval_by_people": _interval(found.fmr_by_people),
        "fnmr_interval_by_people": _interval(found.fnmr_by_people),
    }


def _rates_at(rates: RatesAt) -> Json:
    return {
        "threshold": rates.threshold,
        "fmr": _rate(rates.fmr),
        "fnmr": _rate(rates.fnmr),
        "rejected": _rate(rates.rejected),
    }


def _rate(rate: Rate) -> Json:
    proportion = rate.proportion
    return {
        "rate": proportion.rate if proportion.trials else None,
        "errors": proportion.errors,
        "trials": proportion.trials,
        "interval": _interval(rate.interval),
    }


def _interval(interval: Interval | None) -> list[float] | None:
    return [interval.lower, interval.upper] if interval else None
