"""Draws the panels of the dashboard from a Prometheus, and prints the values of all expressions as a table."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from PIL import Image

from tests.monitoring.expressions import Expression, expressions, panels
from tests.monitoring.prometheus import Prometheus

if TYPE_CHECKING:
    from tests.monitoring.scenario import Seen

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLUMNS = 3
_MOST_LINES = 6
_STEPS = 120
_WINDOW = "30s"


def draw(prometheus: Prometheus, path: Path, *, seconds: float) -> None:
    """Plot every panel whose metrics exist here, over the last seconds, as one picture."""
    here = [panel for panel in panels() if not _expressions_of(panel)[0].not_here]
    rows = math.ceil(len(here) / _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(4.2 * _COLUMNS, 2.6 * rows), layout="constrained")
    for axis, panel in zip(axes.flat, here, strict=False):
        _plot(axis, panel, prometheus, seconds)
    for axis in axes.flat[len(here) :]:
        axis.axis("off")
    figure.savefig(path, dpi=72)
    plt.close(figure)
    few_colours = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few_colours.save(path, optimize=True)  # 60 instead of 220 kB


def table(seen: Seen) -> str:
    """Markdown: each expression, how many series it gave under load, and the smallest and largest value."""
    lines = ["| panel or alert | expression | series | values |", "| --- | --- | --- | --- |"]
    for each, series in seen.values.items():
        numbers = [float(one["value"][1]) for one in series]
        finite = [number for number in numbers if math.isfinite(number)]
        values = _range(finite) if finite else f"needs {each.not_here}"
        text = each.text.replace("|", "\\|")
        lines.append(f"| {each.title} | `{text}` | {len(series)} | {values} |")
    return "\n".join(lines) + "\n"


def _plot(axis: Any, panel: dict[str, Any], prometheus: Prometheus, seconds: float) -> None:
    drawn, origin = 0, time.time() - seconds
    for expression in _expressions_of(panel):
        found = prometheus.history(expression.for_tests(_WINDOW), seconds, seconds / _STEPS)
        for series in found[: _MOST_LINES - drawn]:
            times = [float(moment) - origin for moment, _ in series["values"]]
            axis.plot(
                times,
                [float(value) for _, value in series["values"]],
                linewidth=1,
                label=_label(expression.legend, series["metric"]),
            )
            drawn += 1
    axis.set_title(panel["title"], fontsize=9)
    axis.tick_params(labelsize=7)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="upper left", framealpha=0.6)


def _expressions_of(panel: dict[str, Any]) -> list[Expression]:
    return [each for each in expressions() if each.title == panel["title"] and not each.alert]


def _label(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), legend)


def _range(numbers: list[float]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
