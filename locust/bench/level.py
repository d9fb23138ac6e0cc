"""Loads a service with a number of clients, and reads its stages and the CPU time of all processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.capacity_report import Level
from bench.latency_table import Latencies, row_of
from bench.processes import GENERATOR, costs, cpu_spent, memory_peaks
from bench.rig import COLLECTIONS
from bench.stage_times import Stages, mean_ms, read_stages


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients send: for `seconds`, the JPEGs of the folder `selfies` with each `top_k` in turn."""

    selfies: Path
    top_k: Sequence[int]
    seconds: float


def measure_level(
    url: str, environment: Mapping[str, str], load: Load, *, clients: int, has_stages: bool = True
) -> Level:
    """Load the service at `url` with this number of clients. `has_stages`: it has our metrics."""
    command = [sys.executable, str(Path(__file__).with_name("closed_loop.py")), "--url", url]
    command += ["--clients", str(clients), "--seconds", str(load.seconds), "--selfies", str(load.selfies)]
    command += ["--collections", *COLLECTIONS, "--top-k", *map(str, load.top_k)]
    generator = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE)
    assert generator.stdout is not None  # noqa: S101 - stdout is a pipe
    generator.stdout.readline()  # wait until the warm-up is over
    before, stages_before = costs(), _stages(url, has_stages)
    told: dict[str, Any] = json.loads(generator.stdout.readline())
    after, stages_after = costs(), _stages(url, has_stages)
    generator.wait()
    latencies = Latencies(f"{clients} clients", told["ms"], sum(told["failures"].values()))
    row = row_of(latencies, told["seconds"])
    spent = cpu_spent(before, after) | {GENERATOR: told["cpu_s"]}
    return Level(
        clients=clients,
        row=row,
        failures=told["failures"],
        stage_ms=mean_ms(stages_before, stages_after),
        cpu_ms={role: 1000 * s / max(1, row.requests) for role, s in spent.items() if s},
        peak_mb=memory_peaks(after) | {GENERATOR: [told["peak_mb"]]},
    )


def _stages(url: str, has_stages: bool) -> Stages:
    return read_stages(url) if has_stages else {}
