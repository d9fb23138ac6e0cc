"""FaceRunner: the BentoML service that turns image bytes into faces, and the only one that needs a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel

from bentos.common.errors import FaceSearchError
from bentos.common.faces import BoundingBox, FacesInImage
from bentos.common.startup import settings_or_exit
from bentos.runner.cpus import available_cpus
from bentos.runner.wire import encode_error, encode_faces

_settings = settings_or_exit()

# BentoML's client else replaces its session after 100 calls, under those that are in flight. It reads this from the
# configuration of the service that is called, not of the one that calls.
_KEEP_CONNECTIONS = {"max_requests": 10**9, "max_age": 1e9}

QUIET = {
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
    "tracing": {"excluded_urls": ".*"},
}
"""BentoML's own metrics and access log: off. They cost more than a request, and label metrics with raw paths."""


Payloads = Annotated[list[bytes], ContentType("application/octet-stream")]
"""One payload of `bentos.runner.wire` for each item of a batch. Naming the type spares BentoML from deriving a JSON
schema for it with every answer, a tenth of the runner's time.
"""


class EmbedRequest(BaseModel):
    """Faces of one image to embed: five (x, y) landmarks each, pixels of the upright image."""

    image: bytes
    landmarks: list[list[tuple[float, float]]]


class RegionRequest(BaseModel):
    """A part of one image to search for faces: `[x1, y1, x2, y2]`, pixels of the upright image."""

    image: bytes
    region: tuple[float, float, float, float]


_batched = bentoml.api(
    batchable=True,
    max_batch_size=_settings.runner_max_batch_size,
    max_latency_ms=_settings.runner_max_latency_ms,
)


@bentoml.service(
    name="face-runner",
    workers=_settings.runner_workers or available_cpus(),
    threads=1,
    traffic={"timeout": _settings.runner_timeout_s},
    runner_connection=_KEEP_CONNECTIONS,
    **QUIET,
)
class FaceRunner:
    """Each method takes a batch and answers a payload of `bentos.runner.wire` for each of its items."""

    pack_model = bentoml.models.BentoModel(f"{_settings.face_pack}:latest")

    def __init__(self) -> None:
        # Here and not above: the processes that only call the runner start without InsightFace, two seconds earlier.
        from bentos.runner.local import extraction_of  # noqa: PLC0415

        self._extraction = extraction_of(Path(self.pack_model.path), _settings)

    @_batched
    def detect(self, images: list[bytes]) -> Payloads:
        """Boxes, scores and landmarks."""
        return _encoded(self._extraction.detect(images))

    @_batched
    def detect_and_embed(self, images: list[bytes]) -> Payloads:
        """Boxes, scores, landmarks and embeddings."""
        return _encoded(self._extraction.detect_and_embed(images))

    @_batched
    def embed(self, requests: list[EmbedRequest]) -> Payloads:
        """Embeddings of faces that were found before."""
        return _encoded([self._extraction.embed(r.image, [tuple(p) for p in r.landmarks]) for r in requests])

    @_batched
    def detect_in_region(self, requests: list[RegionRequest]) -> Payloads:
        """Boxes, scores and landmarks of the faces whose centre lies in the region."""
        return _encoded(
            [self._extraction.detect_in_region(r.image, BoundingBox(*r.region)) for r in requests]
        )


def _encoded(found: Sequence[FacesInImage | FaceSearchError]) -> list[bytes]:
    return [encode_error(item) if isinstance(item, FaceSearchError) else encode_faces(item) for item in found]
