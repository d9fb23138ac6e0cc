"""What Prometheus may know: how many requests, how long, by route and status; never an id."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)

_requests = Counter(
    "face_search_requests_total", "Requests answered.", ["service", "route", "method", "status"]
)
_request_seconds = Histogram(
    "face_search_request_seconds",
    "From the first byte in to the last byte out.",
    ["service", "route"],
    buckets=_BUCKETS,
)
_stage_seconds = Histogram(
    "face_search_stage_seconds", "Time of one stage of a request.", ["service", "stage"], buckets=_BUCKETS
)


# prometheus_client looks a series up by its labels at every call; there are few, so each is kept.
@cache
def requests_total(service: str, route: str, method: str, status: str) -> Counter:
    """The series of one route, method and status."""
    return _requests.labels(service, route, method, status)


@cache
def request_seconds(service: str, route: str) -> Histogram:
    """The series of one route."""
    return _request_seconds.labels(service, route)


@cache
def stage_seconds(service: str, stage: str) -> Histogram:
    """The series of one stage."""
    return _stage_seconds.labels(service, stage)
