"""Tests of percentiles, the table of a run, and its thresholds."""

from __future__ import annotations

import json
import math

import pytest

from bench.latency_table import ALL, Latencies, Thresholds, as_json, percentile, row_of, rows_of, table


def test_a_percentile_is_one_of_the_values():
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.95) == 95
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert math.isnan(percentile([], 0.5))


def test_the_rate_counts_right_answers_only():
    row = row_of(Latencies("a", [10.0, 20.0], errors=3), seconds=2)
    assert (row.requests, row.errors, row.rps, row.mean) == (5, 3, 1.0, 15.0)


def test_the_last_row_is_all_tasks_together():
    rows = rows_of([Latencies("a", [1.0, 2.0]), Latencies("b", [3.0], errors=1)], seconds=1)
    assert [row.task for row in rows] == ["a", "b", ALL]
    assert (rows[-1].requests, rows[-1].errors, rows[-1].slowest) == (4, 1, 3.0)


def test_a_task_without_an_answer_has_a_row_in_the_table_and_is_valid_json():
    rows = rows_of([Latencies("nobody answered", errors=2)], seconds=1)
    assert "nobody answered" in table(rows)
    assert json.loads(json.dumps(as_json(rows), allow_nan=False))[0]["p95"] is None


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        (Thresholds(), []),
        (Thresholds(p95_ms=20, p99_ms=20, errors=0.5, rps=2), []),
        (Thresholds(p95_ms=19), ["p95"]),
        (Thresholds(p99_ms=19), ["p99"]),
        (Thresholds(errors=0.1), ["errors"]),
        (Thresholds(rps=3), ["answers per second"]),
        (Thresholds(p95_ms=1, errors=0), ["p95", "errors"]),
    ],
)
def test_each_threshold_that_is_missed_is_named(thresholds, expected):
    missed = thresholds.missed(row_of(Latencies("a", [10.0, 20.0], errors=1), seconds=1))
    assert len(missed) == len(expected)
    assert all(word in reason for word, reason in zip(expected, missed, strict=True))


def test_a_run_without_an_answer_misses_its_thresholds():
    assert Thresholds(p95_ms=100).missed(row_of(Latencies("a", errors=5), seconds=1))
    assert Thresholds().missed(row_of(Latencies("a"), seconds=1))
