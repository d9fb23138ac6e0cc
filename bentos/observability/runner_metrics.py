"""Prometheus metrics of the runner, as the service that calls it sees them."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

RUNNER_QUEUE = Gauge(
    "face_search_runner_queue", "Images that wait for a runner process that works on another one, or for any."
)
RUNNER_IN_FLIGHT = Gauge(
    "face_search_runner_in_flight",
    "Images queued or running in the runner, those included that nobody waits for any more; up to RUNNER_QUEUE.",
)
RUNNER_TRANSPORT = Gauge(
    "face_search_runner_transport",
    "1 for the transport in use; adaptive_batching: whether BentoML puts images of several requests together.",
    ["transport", "adaptive_batching"],
)
BATCH_SIZE = Histogram(
    "face_search_batch_size", "Images in the batch of an answer.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
FACES_PER_IMAGE = Histogram(
    "face_search_faces_per_image",
    "Faces found in an image, those left out included.",
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
