"""The metric that says which dependencies respond."""

from __future__ import annotations

from prometheus_client import Gauge

from bentos.domain.errors import Dependency

_up = Gauge(
    "face_search_dependency_up",
    "1 if the last check of the dependency succeeded, else 0.",
    ["service", "dependency"],
    multiprocess_mode="livemin",
)


def set_dependency_up(service: str, dependency: Dependency, *, up: bool) -> None:
    """Record whether the dependency responded."""
    _up.labels(service, dependency).set(up)
