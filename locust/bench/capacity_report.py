"""Formats the measured capacity: a table, JSON, and a plot of latency against load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.ceiling import Ceiling
from bench.latency_table import Row, as_json


@dataclass(frozen=True, slots=True)
class Level:
    """One measurement with `clients` clients. `stage_ms`: of the service's I/O process, including waiting.

    `cpu_ms`: CPU milliseconds per request by role. `peak_mb`: peak memory of each process by role.
    """

    clients: int
    row: Row
    failures: Mapping[str, int]
    stage_ms: Mapping[str, float]
    cpu_ms: Mapping[str, float]
    peak_mb: Mapping[str, list[float]]


@dataclass(frozen=True, slots=True)
class Capacity:
    """One run of the bench. `conditions`: how it was run. `ceilings`: measured before and after the levels."""

    conditions: Mapping[str, Any]
    ceiling: Ceiling
    ceilings: Sequence[float]
    levels: Sequence[Level]

    @property
    def best(self) -> Level:
        """The level with the most responses per second."""
        return max(self.levels, key=lambda level: level.row.rps)

    @property
    def ratio(self) -> float:
        """The capacity as a share of the ceiling."""
        return self.best.row.rps / self.ceiling.rps

    @property
    def failures(self) -> int:
        """Searches with a wrong or missing response, over all levels."""
        return sum(level.row.errors for level in self.levels)


def text_of(capacity: Capacity) -> str:
    """The report as text."""
    ceiling, best = capacity.ceiling, capacity.best
    each = ", ".join(f"{rps:.1f}" for rps in capacity.ceilings)
    lines = [
        "",
        f"ceiling   {ceiling.rps:7.1f} images/s in {ceiling.processes} processes (before and after: {each})",
        f"          {ceiling.cpu_ms:.1f} ms CPU per image: {_milliseconds(ceiling.stage_ms)}",
        f"capacity  {best.row.rps:7.1f} searches/s at {best.clients} clients",
        f"ratio     {capacity.ratio:7.2f}",
        "",
        f"{'clients':>8}{'answers/s':>11}{'errors':>8}{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}   stages, mean ms",
    ]
    for level in capacity.levels:
        row = level.row
        lines.append(
            f"{level.clients:>8}{row.rps:>11.1f}{row.errors:>8}{row.mean:>8.1f}{row.p50:>8.1f}"
            f"{row.p95:>8.1f}{row.p99:>8.1f}   {_milliseconds(level.stage_ms)}"
        )
    lines += ["", f"CPU per search and peak memory at {best.clients} clients:"]
    for role in sorted(best.cpu_ms, key=lambda role: -best.cpu_ms[role]):
        peaks = ", ".join(f"{peak:.0f}" for peak in best.peak_mb.get(role, []))
        lines.append(f"  {role:<20}{best.cpu_ms[role]:>7.2f} ms   {peaks} MB")
    lines.append(f"  {'total':<20}{sum(best.cpu_ms.values()):>7.2f} ms")
    lines += [
        f"FAILED {count} times at {level.clients} clients: {reason}"
        for level in capacity.levels
        for reason, count in level.failures.items()
    ]
    return "\n".join(lines)


def write_json(capacity: Capacity, path: Path) -> None:
    """All measured values, for JSON."""
    levels = [
        {**{k: v for k, v in asdict(level).items() if k != "row"}, "row": as_json([level.row])[0]}
        for level in capacity.levels
    ]
    report = {
        "conditions": dict(capacity.conditions),
        "ceiling": asdict(capacity.ceiling),
        "ceilings": list(capacity.ceilings),
        "capacity_rps": capacity.best.row.rps,
        "ratio": capacity.ratio,
        "levels": levels,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def write_plot(capacity: Capacity, path: Path) -> None:
    """Plot latency against load, with the ceiling as a line."""
    import matplotlib as mpl  # noqa: PLC0415 - a second to import, for one picture at the end

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    rates = [level.row.rps for level in capacity.levels]
    for name in ("p50", "p95", "p99"):
        axes.plot(rates, [getattr(level.row, name) for level in capacity.levels], marker="o", label=name)
    for level in capacity.levels:
        axes.annotate(
            f"{level.clients} clients",
            (level.row.rps, level.row.p99),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            fontsize=8,
        )
    axes.axvline(capacity.ceiling.rps, linestyle="--", color="grey", label="ceiling")
    axes.set(xlabel="searches answered per second", ylabel="milliseconds", title="Latency against load")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _milliseconds(stages: Mapping[str, float]) -> str:
    return "  ".join(f"{stage} {ms:.1f}" for stage, ms in stages.items())
