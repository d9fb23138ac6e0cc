"""Prometheus metrics of the runner, measured in the service that calls it."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

RUNNER_QUEUE = Gauge("face_search_runner_queue", "Images that wait until a runner process is free.")
RUNNER_IN_FLIGHT = Gauge(
    "face_search_runner_in_flight",
    "Images queued or running in the runner, including those of cancelled requests; up to RUNNER_QUEUE.",
)
RUNNER_TRANSPORT = Gauge(
    "face_search_runner_transport",
    "1 for the transport in use; adaptive_batching: whether BentoML puts images of several requests together.",
    ["transport", "adaptive_batching"],
)
BATCH_SIZE = Histogram(
    "face_search_batch_size",
    "Images in the batch that a response belongs to.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
FACES_PER_IMAGE = Histogram(
    "face_search_faces_per_image",
    "Faces found in an image, including those left out.",
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
