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

_INSTEAD = {
    "milvus_uri": "MILVUS_TOKEN takes `user:password`",
    "postgrest_url": "POSTGREST_TOKEN takes a token",
    "s3_endpoint_url": "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY take the keys",
    "s3_public_endpoint_url": "links are signed with S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
    "otel_exporter_otlp_endpoint": "OTEL_EXPORTER_OTLP_HEADERS takes headers",
}
"""Addresses, and the settings for the credentials that addresses must not contain."""

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

    # Milvus
    milvus_uri: str = Field(
        "", description="`http(s)://host:19530`, or a file `*.db` for Milvus Lite; required."
    )
    milvus_collection: str = Field(
        "faces", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="Alias of the collection."
    )
    milvus_index_type: Literal["HNSW", "IVF_FLAT", "FLAT", "AUTOINDEX"] = Field(
        "HNSW", description="Vector index of a new collection; an existing one keeps its own."
    )
    milvus_hnsw_m: int = Field(16, ge=2, le=2048, description="HNSW: neighbours of a node.")
    milvus_hnsw_ef_construction: int = Field(200, ge=8, description="HNSW: candidates when building.")
    milvus_ivf_nlist: int = Field(128, ge=1, le=65536, description="IVF_FLAT: cells.")
    milvus_search_ef: int = Field(
        128, ge=1, le=32768, description="HNSW: least number of candidates of a search."
    )
    milvus_search_nprobe: int = Field(16, ge=1, le=65536, description="IVF_FLAT: cells searched.")
    milvus_consistency: Literal["Strong", "Bounded", "Session", "Eventually"] = Field(
        "Bounded",
        description="Consistency level of searches; below `Strong`, saving waits until searches find the face.",
    )
    milvus_timeout_s: float = Field(5, gt=0, description="Longest wait for Milvus.")

    # Metadata
    postgrest_url: str = Field(
        "", description="`http(s)://host:3000`, or `sqlite:///path`; required by image-vectorizer."
    )
    postgrest_timeout_s: float = Field(5, gt=0, description="Longest wait for PostgREST.")
    lease_s: float = Field(
        25,
        gt=0,
        le=600,
        description="How long a crashed writer blocks its photo for others; longer than MILVUS_TIMEOUT_S,"
        " S3_TIMEOUT_S and twice POSTGREST_TIMEOUT_S together.",
    )

    # Images
    s3_endpoint_url: str = Field(
        "https://storage.yandexcloud.net",
        description="Address of the object store; `file:///folder`: a folder.",
    )
    s3_public_endpoint_url: str = Field(
        "",
        description="Address in links, where callers reach the images by another one; empty: S3_ENDPOINT_URL,"
        " and with a folder the address of the request.",
    )
    s3_region: str = Field("ru-central1", description="Region of the bucket.")
    s3_bucket: str = Field("", description="The bucket; required unless the images are in a folder.")
    s3_prefix: str = Field(
        "",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$",
        description="Prefix of the object keys, before the photo's id.",
    )
    s3_addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="Where addresses name the bucket: in the `path`, or as the host (`virtual`)."
    )
    s3_threads: int = Field(16, ge=1, le=256, description="Most calls to the object store at once.")
    s3_timeout_s: float = Field(5, gt=0, description="Longest wait for the object store.")

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

    @field_validator(*_INSTEAD)
    @classmethod
    def _no_credentials(cls, value: str, info: ValidationInfo) -> str:
        name = str(info.field_name)
        return without_credentials(name.upper(), value, _INSTEAD[name])

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
        if self.lease_s <= self.longest_hold_s:
            raise ValueError(
                f"LEASE_S ({self.lease_s:g}) has to be longer than {self.longest_hold_s:g} s, which is"
                " MILVUS_TIMEOUT_S + S3_TIMEOUT_S + 2 x POSTGREST_TIMEOUT_S"
            )
        return self

    @property
    def longest_hold_s(self) -> float:
        """How long a lease may be held: two calls to the metadata store and one call to each other store between."""
        return self.milvus_timeout_s + self.s3_timeout_s + 2 * self.postgrest_timeout_s

    @property
    def search_max_image_bytes(self) -> int:
        """SEARCH_MAX_IMAGE_MB in bytes."""
        return int(self.search_max_image_mb * MEGABYTE)

    @property
    def vectorize_max_image_bytes(self) -> int:
        """VECTORIZE_MAX_IMAGE_MB in bytes."""
        return int(self.vectorize_max_image_mb * MEGABYTE)

    @property
    def images_in_folder(self) -> bool:
        """Whether the images are in a local folder and not in an object store."""
        return self.s3_endpoint_url.startswith("file://")
