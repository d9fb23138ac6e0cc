"""Reads a service's histogram of stages before and after a measurement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

_METRIC = "face_search_stage_seconds"

Stages = Mapping[str, tuple[float, float]]
"""By stage: the number of measured stages and the sum of their seconds."""


def read_stages(url: str) -> Stages:
    """Read the metrics of the service at `url`."""
    return parse_stages(httpx.get(f"{url}/metrics", timeout=10).raise_for_status().text)


def parse_stages(text: str) -> Stages:
    """Parse the text format of Prometheus; services in one process are added up."""
    counts: defaultdict[str, float] = defaultdict(float)
    seconds: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"{_METRIC}_count":
                counts[sample.labels["stage"]] += sample.value
            elif sample.name == f"{_METRIC}_sum":
                seconds[sample.labels["stage"]] += sample.value
    return {stage: (counts[stage], seconds[stage]) for stage in counts}


def mean_ms(before: Stages, after: Stages) -> dict[str, float]:
    """Mean milliseconds of each stage between two readings; stages that did not occur are left out."""
    means = {}
    for stage, (count, seconds) in after.items():
        earlier_count, earlier_seconds = before.get(stage, (0.0, 0.0))
        if count > earlier_count:
            means[stage] = 1000 * (seconds - earlier_seconds) / (count - earlier_count)
    return means
