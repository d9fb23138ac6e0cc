"""The metrics of the base: photos by status, and the result of the last audit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from prometheus_client import Gauge

_MODE: Literal["livemostrecent"] = "livemostrecent"
_photos = Gauge(
    "face_search_photos", "Photos in the metadata, by status.", ["service", "status"], multiprocess_mode=_MODE
)
_differences = Gauge(
    "face_search_audit_differences",
    "Differences between the stores that the last audit found, by kind.",
    ["service", "kind"],
    multiprocess_mode=_MODE,
)
_finished = Gauge(
    "face_search_audit_finished_timestamp_seconds",
    "When the last audit ended, in seconds since 1970; absent before the first.",
    ["service"],
    multiprocess_mode=_MODE,
)


def set_photos(service: str, photos: Mapping[str, int]) -> None:
    """Set how many photos there are of each status."""
    for status, number in photos.items():
        _photos.labels(service, status).set(number)


def set_audit(service: str, finished_at: datetime, differences: Mapping[str, int]) -> None:
    """Set what the last audit found. A kind that it does not name is no longer exported."""
    _differences.clear()
    for kind, number in differences.items():
        _differences.labels(service, kind).set(number)
    _finished.labels(service).set(finished_at.timestamp())
