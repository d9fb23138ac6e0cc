"""Summarises a run by task: mean, percentiles, errors and achieved rate, and compares them with thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ALL = "all tasks"


@dataclass(slots=True)
class Latencies:
    """The responses of one task: milliseconds of each success, and how many failures."""

    task: str
    ms: list[float] = field(default_factory=list)
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; times in milliseconds, nan where nothing succeeded."""

    task: str
    requests: int
    errors: int
    rps: float
    mean: float
    p50: float
    p95: float
    p99: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of a run. `errors`: the highest share of failed requests. `rps`: the lowest rate of responses."""

    p95_ms: float | None = None
    p99_ms: float | None = None
    errors: float | None = None
    rps: float | None = None

    def missed(self, row: Row) -> list[str]:
        """A sentence for each threshold that the row misses; a row without a response misses all of them."""
        if not row.requests:
            return [f"{row.task}: no request was made"]
        share = row.errors / row.requests
        reasons = []
        if (
            self.p95_ms is not None and not row.p95 <= self.p95_ms
        ):  # `not`, because the values are nan without a response
            reasons.append(f"p95 {row.p95:.1f} > {self.p95_ms:g} ms")
        if self.p99_ms is not None and not row.p99 <= self.p99_ms:
            reasons.append(f"p99 {row.p99:.1f} > {self.p99_ms:g} ms")
        if self.errors is not None and share > self.errors:
            reasons.append(f"{share:.2%} errors > {self.errors:.2%}")
        if self.rps is not None and row.rps < self.rps:
            reasons.append(f"{row.rps:.1f} answers per second < {self.rps:.1f}")
        return [f"{row.task}: {reason}" for reason in reasons]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); nan without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def row_of(latencies: Latencies, seconds: float) -> Row:
    """The row for one task over a run of `seconds`; its rate counts successful responses."""
    ms = latencies.ms
    return Row(
        task=latencies.task,
        requests=len(ms) + latencies.errors,
        errors=latencies.errors,
        rps=len(ms) / seconds if seconds > 0 else 0.0,
        mean=sum(ms) / len(ms) if ms else math.nan,
        p50=percentile(ms, 0.50),
        p95=percentile(ms, 0.95),
        p99=percentile(ms, 0.99),
        slowest=max(ms, default=math.nan),
    )


def rows_of(tasks: Iterable[Latencies], seconds: float) -> list[Row]:
    """A row for each task, and one for all tasks."""
    tasks = list(tasks)
    everything = Latencies(ALL, [each for task in tasks for each in task.ms], sum(t.errors for t in tasks))
    return [row_of(task, seconds) for task in [*tasks, everything]]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, times in milliseconds."""
    width = max(len("task"), *(len(row.task) for row in rows))
    head = (
        f"{'task':<{width}}{'requests':>10}{'errors':>8}{'answers/s':>11}"
        f"{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}"
    )
    lines = [
        f"{row.task:<{width}}{row.requests:>10}{row.errors:>8}{row.rps:>11.1f}"
        f"{row.mean:>8.1f}{row.p50:>8.1f}{row.p95:>8.1f}{row.p99:>8.1f}{row.slowest:>8.1f}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values; nan becomes None."""
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(row).items()
        }
        for row in rows
    ]
