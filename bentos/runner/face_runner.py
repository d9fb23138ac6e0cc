"""FaceRunner: the BentoML service that turns image bytes into faces, and the only one that needs a CPU or a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from bentos.config.startup import settings_or_exit
from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import FacesInImage
from bentos.runner.codec import Timing, decode_request, encode_answer, with_timing
from bentos.runner.cpus import available_cpus
from bentos.runner.transport.server import SERVICE, listen
from bentos.serving.gc_tuning import collect_less
from bentos.serving.scheduling import give_way

_settings = settings_or_exit()

QUIET = {
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
    "tracing": {"excluded_urls": ".*"},
}
"""BentoML's own metrics and access log: off. They cost more than a request, and label metrics with raw paths."""


Payloads = Annotated[list[bytes], ContentType("application/octet-stream")]
"""One payload of `bentos.runner.codec` for each item of a batch."""


_batched = bentoml.api(
    batchable=True,
    max_batch_size=max(2, _settings.batch_size),  # BentoML knows no batches of one; `hop` then makes none
    max_latency_ms=_settings.runner_max_latency_ms,
)


@bentoml.service(
    name=SERVICE,
    workers=_settings.runner_workers or available_cpus(),
    threads=1,
    traffic={"timeout": _settings.runner_timeout_s},
    **QUIET,
)
class FaceRunner:
    """Each method takes a batch of requests and answers a payload for each, both of `bentos.runner.codec`."""

    pack_model = bentoml.models.BentoModel(f"{_settings.face_pack}:latest")

    def __init__(self) -> None:
        # Here and not above: the processes that only call the runner start without InsightFace, two seconds earlier.
        from bentos.runner.local import extraction_of  # noqa: PLC0415

        give_way()
        self._extraction = extraction_of(Path(self.pack_model.path), _settings)

    @bentoml.on_startup
    async def listen(self) -> None:
        """Open this process's own end of the hop."""
        collect_less()
        self._listener = await listen(self, batched=_settings.batch_size > 1)

    @_batched
    def detect(self, requests: list[bytes]) -> Payloads:
        """Boxes, scores and landmarks."""
        return self._timed(lambda: self._extraction.detect(_images(requests)))

    @_batched
    def detect_and_embed(self, requests: list[bytes]) -> Payloads:
        """Boxes, scores, landmarks and embeddings."""
        return self._timed(lambda: self._extraction.detect_and_embed(_images(requests)))

    @_batched
    def embed(self, requests: list[bytes]) -> Payloads:
        """Embeddings of faces that were found before."""
        asked = [decode_request(each) for each in requests]
        return self._timed(lambda: [self._extraction.embed(each.image, each.landmarks) for each in asked])

    @_batched
    def detect_in_region(self, requests: list[bytes]) -> Payloads:
        """Boxes, scores and landmarks of the faces whose centre lies in the region."""
        asked = [decode_request(each) for each in requests]
        return self._timed(
            lambda: [self._extraction.detect_in_region(each.image, each.region) for each in asked]
        )

    def _timed(self, work: Callable[[], Sequence[FacesInImage | FaceSearchError]]) -> list[bytes]:
        began = time.monotonic()
        found = work()
        timing = Timing(began, **self._extraction.clock.take())
        return [with_timing(timing, encode_answer(each)) for each in found]


def _images(requests: Sequence[bytes]) -> list[bytes]:
    return [decode_request(each).image for each in requests]
