"""Shows what the slowest searches of a load test waited for, from the stages in the log of image-search."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

SHOWN = 100
"""How many of the slowest searches are shown."""


@dataclass(frozen=True, slots=True)
class Search:
    """One answered search: milliseconds in the service, in all and by stage."""

    ms: float
    stages_ms: Mapping[str, float]


def searches_in(log: Iterable[str]) -> Iterator[Search]:
    """The answered searches in the lines of a log; other lines are passed over."""
    for line in log:
        try:
            fields: Any = json.loads(line)
        except ValueError:
            continue  # not from the services
        if not isinstance(fields, dict) or fields.get("route") != "/search/" or fields.get("status") != 200:  # noqa: PLR2004
            continue
        if stages := fields.get("stages_ms"):
            yield Search(fields["ms"], stages)


def slowest_of(searches: Sequence[Search]) -> list[Search]:
    """The slowest searches, the slowest first."""
    return sorted(searches, key=lambda search: search.ms, reverse=True)[:SHOWN]


def table_of(searches: Sequence[Search]) -> str:
    """The mean milliseconds of each stage: of all searches, and of the slowest."""
    slowest = slowest_of(searches)
    lines = [f"{'stage, ms':<14}{'all':>9}{f'slowest {len(slowest)}':>14}"]
    lines += [
        f"{stage:<14}{_mean_of(searches, stage):>9.1f}{_mean_of(slowest, stage):>14.1f}"
        for stage in _stages(searches)
    ]
    return "\n".join(lines)


def write_picture(searches: Sequence[Search], path: Path) -> None:
    """One bar for each of the slowest searches, divided by stage."""
    import matplotlib as mpl  # noqa: PLC0415 - a second to import, for one picture at the end

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    slowest = slowest_of(searches)
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    places, below = range(len(slowest)), [0.0] * len(slowest)
    for number, stage in enumerate(_stages(slowest)):
        heights = [search.stages_ms.get(stage, 0.0) for search in slowest]
        axes.bar(places, heights, bottom=below, width=1.0, label=stage, color=f"C{number}")
        below = [bottom + height for bottom, height in zip(below, heights, strict=True)]
    axes.set(
        xlabel="searches, the slowest first",
        ylabel="milliseconds in the service",
        title=f"The slowest {len(slowest)} of {len(searches)} searches by stage",
    )
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _stages(searches: Iterable[Search]) -> list[str]:
    """The stages in the order of a search."""
    return list(dict.fromkeys(stage for search in searches for stage in search.stages_ms))


def _mean_of(searches: Sequence[Search], stage: str) -> float:
    return mean(search.stages_ms.get(stage, 0.0) for search in searches)
