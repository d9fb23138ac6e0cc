"""The DET curve and the score histograms as PNG files. Needs matplotlib, which the services do not install."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluate.measurement import Measurement
from models.evaluate.rates import Scores

_TICKS = (1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.4)
_HIGHEST = 0.6
_BINS = 80
_DPI = 120


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write_plots(folder: Path, measurements: Sequence[Measurement]) -> list[Path]:
    """Write `det.png`, with a curve for each pack, and `scores-PACK.png` for each pack."""
    written = [folder / "det.png"]
    _det(measurements).savefig(written[0], dpi=_DPI)
    for measurement in measurements:
        written.append(folder / f"scores-{measurement.pack}.png")
        _histogram(measurement).savefig(written[-1], dpi=_DPI)
    return written


def det_points(genuine: Scores, impostor: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """FMR and FNMR at every threshold that changes one of them. Both arguments ascending; results (n,) float64."""
    steps = np.unique(np.concatenate([genuine, impostor]))
    fmr = 1 - np.searchsorted(impostor, steps, side="left") / len(impostor)
    fnmr = np.searchsorted(genuine, steps, side="left") / len(genuine)
    return fmr, fnmr


def _det(measurements: Sequence[Measurement]) -> Any:
    figure, axes = _figure((6.0, 6.0))
    for measurement in measurements:
        genuine, impostor = measurement.genuine.scores, measurement.impostor.scores
        fmr, fnmr = det_points(genuine, impostor)
        # A rate of zero has no place on a probit axis: the curve ends at half an error.
        x = _probit(np.clip(fmr, 0.5 / len(impostor), _HIGHEST))
        y = _probit(np.clip(fnmr, 0.5 / len(genuine), _HIGHEST))
        axes.plot(x, y, label=f"{measurement.pack} ({len(genuine)} genuine, {len(impostor)} impostor pairs)")
    places = _probit(np.array(_TICKS))
    names = [f"{100 * tick:g} %" for tick in _TICKS]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    ends = _probit(np.array([_TICKS[0], _HIGHEST]))
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_xlabel("FMR (false match rate)")
    axes.set_ylabel("FNMR (false non-match rate)")
    axes.set_title("DET curve, probit axes; zero errors drawn as half an error", fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper right", fontsize=8)
    return figure


def _histogram(measurement: Measurement) -> Any:
    figure, axes = _figure((7.0, 4.0))
    kinds = (("same person", measurement.genuine.scores), ("different people", measurement.impostor.scores))
    lowest = min(float(scores[0]) for _, scores in kinds)
    highest = max(float(scores[-1]) for _, scores in kinds)
    edges = np.linspace(min(lowest, 0.0), max(highest, 1.0), _BINS + 1)
    for name, scores in kinds:
        weights = np.full(len(scores), 1 / len(scores))
        axes.hist(scores, bins=edges, weights=weights, alpha=0.6, label=f"{name} ({len(scores)} pairs)")
    product = measurement.at_product.threshold
    axes.axvline(product, color="black", linestyle="--", label=f"SCORE_THRESHOLD {product:g}")
    if measurement.recommended:
        threshold, fmr = measurement.recommended.threshold, measurement.chosen.fmr
        axes.axvline(threshold, color="black", linestyle=":", label=f"{threshold:.3f} for FMR {fmr:g}")
    axes.set_xlabel("score")
    axes.set_ylabel("share of pairs")
    axes.set_title(f"Scores of {measurement.pack}", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure that is drawn without a display, and its axes."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where plots are wanted

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _probit(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quantile function of the standard normal distribution."""
    values, inverse = np.unique(rates, return_inverse=True)
    quantiles = np.array([NormalDist().inv_cdf(float(value)) for value in values])
    result: NDArray[np.float64] = quantiles[inverse]
    return result
