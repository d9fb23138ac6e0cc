"""The options of the load test in addition to Locust's; each can be set in the environment too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.latency_table import Thresholds


def add_options(parser: Any) -> None:
    """Add them to Locust's parser (a configargparse one)."""
    group = parser.add_argument_group("Search load", "An open arrival rate: no request waits for another.")
    add = group.add_argument
    add("--rps", type=float, default=100.0, env_var="RPS", help="requests per second (100)")
    add(
        "--arrivals",
        choices=("poisson", "steady"),
        default="poisson",
        env_var="ARRIVALS",
        help="poisson, as from independent callers, or steady, at equal intervals",
    )
    add(
        "--collections",
        default="made-a,made-b",
        env_var="COLLECTIONS",
        help="collections to search in, separated by commas (made-a,made-b)",
    )
    add("--top-ks", default="10,50", env_var="TOP_KS", help="values of top_k, separated by commas (10,50)")
    add(
        "--selfies",
        type=Path,
        default=None,
        env_var="SELFIES",
        help="a folder of JPEGs with one face each; by default they are made from faces in the installed packages",
    )
    add("--p95-ms", type=float, default=150.0, env_var="P95_MS", help="threshold (150)")
    add("--p99-ms", type=float, default=300.0, env_var="P99_MS", help="threshold (300)")
    add(
        "--max-errors",
        type=float,
        default=0.0,
        env_var="MAX_ERRORS",
        help="share of requests that may fail (0)",
    )
    add(
        "--min-answered",
        type=float,
        default=0.97,
        env_var="MIN_ANSWERED",
        help="share of the rate that has to be answered each second (0.97)",
    )


def names(text: str) -> tuple[str, ...]:
    """Split a text at its commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def thresholds_of(options: Any) -> tuple[Thresholds, Thresholds]:
    """The thresholds, which apply to each task and to all of them together."""
    times = Thresholds(p95_ms=options.p95_ms, p99_ms=options.p99_ms)
    rate = options.rps * options.min_answered
    return times, Thresholds(options.p95_ms, options.p99_ms, errors=options.max_errors, rps=rate)
