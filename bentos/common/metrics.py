"""What Prometheus may know: how many requests, how long, by route and status; never an id."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)

requests_total = Counter(
    "face_search_requests_total", "Requests answered.", ["service", "route", "method", "status"]
)
request_seconds = Histogram(
    "face_search_request_seconds",
    "From the first byte in to the last byte out.",
    ["service", "route"],
    buckets=_BUCKETS,
)
stage_seconds = Histogram(
    "face_search_stage_seconds", "Time of one stage of a request.", ["service", "stage"], buckets=_BUCKETS
)
