"""Formats the comparison of image-search with the plain service: ratios of each round, and their medians."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.capacity_report import Level
from bench.ceiling import Ceiling
from bench.latency_table import as_json
from bench.processes import BASELINE, GENERATOR, MILVUS

_NAMES = ("image-search", "plain service")


@dataclass(frozen=True, slots=True)
class Round:
    """One round. `bare`: the bare pipeline. `levels`: image-search and the plain service, by number of clients."""

    bare: Ceiling
    levels: Mapping[int, tuple[Level, Level]]

    def answers_ratio(self, clients: int) -> float:
        """Answers per second of image-search in those of the plain service."""
        ours, plain = self.levels[clients]
        return ours.row.rps / plain.row.rps

    def cpu_ratio(self, clients: int) -> float:
        """CPU time per request without Milvus of image-search in that of the plain service."""
        ours, plain = self.levels[clients]
        return _own_cpu_ms(ours) / _own_cpu_ms(plain, is_plain=True)

    def overhead_ratio(self, clients: int) -> float:
        """CPU time per request without Milvus of image-search in that of the bare pipeline."""
        return _own_cpu_ms(self.levels[clients][0]) / self.bare.cpu_ms


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rounds, each with the same numbers of clients; `selfies`: how many different ones were sent."""

    rounds: Sequence[Round]
    selfies: int

    @property
    def clients(self) -> list[int]:
        """The numbers of clients."""
        return list(self.rounds[0].levels)

    @property
    def failures(self) -> int:
        """Searches of image-search with a wrong or missing response."""
        return sum(ours.row.errors for each in self.rounds for ours, _ in each.levels.values())

    def as_json(self) -> dict[str, Any]:
        """The medians over the rounds of every ratio, and all rounds."""
        return {
            **{
                name: {str(n): median(getattr(each, name)(n) for each in self.rounds) for n in self.clients}
                for name in ("answers_ratio", "cpu_ratio", "overhead_ratio")
            },
            "bare_pipeline_cpu_ms": median(each.bare.cpu_ms for each in self.rounds),
            "selfies": self.selfies,
            "rounds": [
                {
                    "bare_pipeline": asdict(each.bare),
                    "levels": {
                        str(clients): {
                            name: {**asdict(level), "row": as_json([level.row])[0]}
                            for name, level in zip(_NAMES, levels, strict=True)
                        }
                        for clients, levels in each.levels.items()
                    },
                }
                for each in self.rounds
            ],
        }


def write_json(comparison: Comparison, path: Path) -> None:
    """All measured values, for JSON."""
    path.write_text(json.dumps(comparison.as_json(), indent=2) + "\n")


def text_of(comparison: Comparison) -> str:
    """The medians over the rounds as text; below, the ratios of each round."""
    told = comparison.as_json()
    head = (
        f"{'':<15}{'clients':>8}{'answers/s':>11}{'p50':>8}{'p95':>8}{'CPU ms':>8}{'Milvus':>8}{'errors':>8}"
    )
    lines = [
        f"bare pipeline: {told['bare_pipeline_cpu_ms']:.2f} ms CPU per image; {comparison.selfies} selfies",
        f"{head}   peak MB by process",
    ]
    for clients in comparison.clients:
        for number, name in enumerate(_NAMES):
            levels = [each.levels[clients][number] for each in comparison.rounds]
            lines.append(f"{name:<15}{clients:>8}{_figures(levels, is_plain=bool(number))}")
    for name in ("answers_ratio", "cpu_ratio", "overhead_ratio"):
        for clients in comparison.clients:
            each = " ".join(f"{getattr(one, name)(clients):.2f}" for one in comparison.rounds)
            lines.append(f"{name:<15}{clients:>8}{told[name][str(clients)]:>11.2f}   rounds: {each}")
    return "\n".join(lines)


def _figures(levels: Sequence[Level], *, is_plain: bool) -> str:
    rows = [level.row for level in levels]
    rps, p50, p95 = (median(getattr(row, name) for row in rows) for name in ("rps", "p50", "p95"))
    cpu = median(_own_cpu_ms(level, is_plain=is_plain) for level in levels)
    milvus = median(level.cpu_ms.get(MILVUS, 0.0) for level in levels)
    errors = sum(row.errors for row in rows)
    last = levels[-1].peak_mb
    peaks = ", ".join(
        f"{peak:.0f}" for role in last if _is_own(role, is_plain=is_plain) for peak in last[role]
    )
    return f"{rps:>11.1f}{p50:>8.1f}{p95:>8.1f}{cpu:>8.2f}{milvus:>8.2f}{errors:>8}   {peaks}"


def _own_cpu_ms(level: Level, *, is_plain: bool = False) -> float:
    """CPU milliseconds per request of the service itself, without Milvus, the generator and the other service."""
    return sum(ms for role, ms in level.cpu_ms.items() if _is_own(role, is_plain=is_plain))


def _is_own(role: str, *, is_plain: bool) -> bool:
    return role == BASELINE if is_plain else role not in {BASELINE, MILVUS, GENERATOR}
