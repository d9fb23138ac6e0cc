"""Defines every setting of both services as one object that is read from the environment only.

A setting's name is that of its field in upper case. If a value is missing, malformed or contradicts another one, the
start ends with one sentence that names the setting (`SettingsError`).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bentos.config.runner_settings import RunnerSettings
from bentos.config.secret_rules import without_credentials

Role = Literal["image-vectorizer", "image-search", "face-search"]
"""Which service reads the settings; `face-search` is both in one."""

SHUTDOWN_DELAY_S = 1.0
SHUTDOWN_TIMEOUT_S = 7.0
MEGABYTE = 1024 * 1024


class SettingsError(Exception):
    """A setting is missing, malformed or contradicts another one; the message is one sentence that names it."""


class Settings(RunnerSettings):
    """The settings, with their defaults."""

    # HTTP
    docs_enabled: bool = Field(False, description="Serve `/docs` and `/openapi.json`, with a key.")
    ui_enabled: bool = Field(
        False,
        description="Serve the page for searching by eye at `/ui/`; its files need no key, the API does.",
    )
    receive_timeout_s: float = Field(
        30, gt=0, le=600, description="Longest wait for the headers of a request, then for its body."
    )
    request_timeout_s: float = Field(
        60, gt=0, le=3600, description="Longest time for a request, its body included; then 504 `timed_out`."
    )
    slow_request_s: float = Field(
        1, ge=0, le=3600, description="A request that takes this long is logged with the time of each stage."
    )
    connection_limits: Literal["required", "off"] = Field(
        "required",
        description="Limits of connections in time and size; `required`: a service whose uvicorn cannot be given them "
        "does not start.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of the log lines."
    )

    # Limits of requests
    search_max_image_mb: float = Field(5, gt=0, le=1024, description="Largest selfie, MiB.")
    vectorize_max_image_mb: float = Field(20, gt=0, le=1024, description="Largest photo, MiB.")
    max_image_pixels: int = Field(
        50_000_000, ge=64 * 64, description="Most pixels of an image that are decoded."
    )
    max_jpeg_pixels: int = Field(
        250_000_000,
        ge=0,
        le=1_000_000_000,
        description="Most pixels of a non-progressive JPEG; above MAX_IMAGE_PIXELS its decoder scales it down.",
    )
    top_k_default: int = Field(10, ge=1, description="Default number of photos per page.")
    top_k_max: int = Field(50, ge=1, le=1000, description="Most photos per page.")
    score_threshold: float = Field(0.5, ge=-1, le=1, description="Default of the lowest score of a match.")
    url_expires_s: int = Field(
        300, ge=1, le=7 * 24 * 3600, description="How long a link to an image is valid, s."
    )

    # The face pack
    face_pack: str = Field("yunet-mbf", min_length=1, description="A pack in the BentoML model store.")
    embedding_dim: int = Field(512, ge=1, description="Dimension of the pack's embeddings.")
    detection_size: int = Field(
        640, ge=32, le=4096, description="Side of the detector's input, px; a multiple of 32."
    )
    detection_large_size: int = Field(
        1920,
        ge=0,
        le=8192,
        description="Longer side of the second pass over a large photo, which finds small faces, px; 0: none.",
    )
    selfie_detection_size: int = Field(
        320,
        ge=32,
        le=4096,
        description="Side of the detector's input for a selfie, whose face is large, px; if no face is found, "
        "DETECTION_SIZE is used.",
    )
    selfie_quick_size: int = Field(
        320,
        ge=0,
        le=4096,
        description="Side of the detector's first input for a selfie on a CPU, px, enough for one large upright face; "
        "a smaller one is faster and finds fewer faces in the background; 0: every selfie is examined in full.",
    )
    detection_threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Score from which one close-up detection may confirm a face; a candidate below it, down to 0.3, is "
        "detected again in all four turns.",
    )
    landmark_looks: int = Field(
        3,
        ge=0,
        le=8,
        description="Runs of the landmark model over each face; 0: the detector's landmarks are used.",
    )
    confirmation_threshold: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="Lowest probability of a face in the last of these runs; below it there is no face.",
    )
    min_face_size: float = Field(
        0, ge=0, description="Smallest side of a face that is used, px; 0: no limit."
    )
    index_min_face_size: float = Field(
        24,
        ge=0,
        description="`index=true` leaves out faces whose shorter side is smaller, px; `/add_face/` takes them.",
    )
    max_faces: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Most faces of one image: those with the highest scores; the others are left out.",
    )

    # Readiness
    dependency_check_s: float = Field(
        5.0, gt=0, le=3600, description="Interval between the checks of each store, s."
    )

    # Metrics
    overview_interval_s: float = Field(
        15.0, gt=0, le=3600, description="Interval between the counts of photos for the metrics, s."
    )

    # Traces; the OpenTelemetry SDK reads its other variables itself
    otel_exporter_otlp_endpoint: str = Field(
        "", description="Collector of traces, `http(s)://host:4318`; empty: no traces are made."
    )
    otel_exporter_otlp_protocol: str = Field(
        "http/protobuf", description="Protocol of the collector; no other one is supported."
    )

    # Stopping
    shutdown_delay_s: float = Field(
        SHUTDOWN_DELAY_S,
        ge=0,
        le=600,
        description="After SIGTERM: how long a service that is not ready any more accepts connections, s.",
    )
    shutdown_timeout_s: float = Field(
        SHUTDOWN_TIMEOUT_S,
        gt=0,
        le=3600,
        description="After SHUTDOWN_DELAY_S: longest wait for requests in progress, s.",
    )

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _no_headers(cls, value: str, info: ValidationInfo) -> str:
        return without_credentials(
            str(info.field_name).upper(), value, "OTEL_EXPORTER_OTLP_HEADERS takes headers"
        )

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if self.top_k_default > self.top_k_max:
            raise ValueError(f"TOP_K_DEFAULT ({self.top_k_default}) is above TOP_K_MAX ({self.top_k_max})")
        for name in ("detection_size", "selfie_detection_size", "selfie_quick_size"):
            if getattr(self, name) % 32:
                raise ValueError(f"{name.upper()} ({getattr(self, name)}) is not a multiple of 32")
        if self.receive_timeout_s >= self.request_timeout_s:
            raise ValueError(
                f"REQUEST_TIMEOUT_S ({self.request_timeout_s:g}) has to be longer than "
                f"RECEIVE_TIMEOUT_S ({self.receive_timeout_s:g})"
            )
        if self.otel_exporter_otlp_endpoint and self.otel_exporter_otlp_protocol != "http/protobuf":
            raise ValueError(
                "OTEL_EXPORTER_OTLP_PROTOCOL has to be http/protobuf, which collectors take on port 4318"
            )
        return self

    @property
    def search_max_image_bytes(self) -> int:
        """SEARCH_MAX_IMAGE_MB in bytes."""
        return int(self.search_max_image_mb * MEGABYTE)

    @property
    def vectorize_max_image_bytes(self) -> int:
        """VECTORIZE_MAX_IMAGE_MB in bytes."""
        return int(self.vectorize_max_image_mb * MEGABYTE)
