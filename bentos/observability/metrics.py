"""Prometheus metrics of requests, their stages and the calls to dependencies. No label contains an id."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)

_requests = Counter(
    "face_search_requests_total", "Requests answered.", ["service", "route", "method", "status"]
)
_errors = Counter(
    "face_search_errors_total", "Requests answered with an error, by its code.", ["service", "route", "code"]
)
_request_seconds = Histogram(
    "face_search_request_seconds",
    "Time from the first byte received to the last byte sent.",
    ["service", "route"],
    buckets=_BUCKETS,
)
_stage_seconds = Histogram(
    "face_search_stage_seconds", "Time of one stage of a request.", ["service", "stage"], buckets=_BUCKETS
)


_dependency_calls = Counter(
    "face_search_dependency_calls_total",
    "Calls to a dependency, by outcome.",
    ["dependency", "operation", "outcome"],
)
_dependency_seconds = Histogram(
    "face_search_dependency_seconds",
    "Time of one call to a dependency.",
    ["dependency", "operation"],
    buckets=_BUCKETS,
)


# prometheus_client searches a series by its labels at every call; there are few series, so they are cached.
@cache
def requests_total(service: str, route: str, method: str, status: str) -> Counter:
    """The series of one route, method and status."""
    return _requests.labels(service, route, method, status)


@cache
def errors_total(service: str, route: str, code: str) -> Counter:
    """The series of one route and error code."""
    return _errors.labels(service, route, code)


@cache
def request_seconds(service: str, route: str) -> Histogram:
    """The series of one route."""
    return _request_seconds.labels(service, route)


@cache
def stage_seconds(service: str, stage: str) -> Histogram:
    """The series of one stage."""
    return _stage_seconds.labels(service, stage)


@cache
def dependency_calls_total(dependency: str, operation: str, outcome: str) -> Counter:
    """The series of one operation of a dependency and one outcome."""
    return _dependency_calls.labels(dependency, operation, outcome)


@cache
def dependency_seconds(dependency: str, operation: str) -> Histogram:
    """The series of one operation of a dependency."""
    return _dependency_seconds.labels(dependency, operation)
