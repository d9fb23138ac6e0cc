"""FaceRunner: the BentoML service that finds faces in images, and the only service that runs the models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from bentos.config.startup import is_serving, settings_or_exit, starts_services
from bentos.pipeline.methods import Method
from bentos.pipeline.provider_check import require_working
from bentos.pipeline.providers import ProviderNotInUse, require_available
from bentos.runner.codec import Timing, asked_of, decode_request, encode_answer, ticket_of, with_timing
from bentos.runner.cpus import decode_threads, runner_processes
from bentos.runner.fixed_batches import FixedBatches
from bentos.runner.transport.base import SERVICE
from bentos.runner.transport.bentoml_inside import own_socket
from bentos.runner.transport.callers import Callers
from bentos.runner.transport.choice import TransportUnavailable, chosen_transport
from bentos.runner.transport.server import listen
from bentos.runner.transport.working import WorkRecord, record_beside
from bentos.serving.gc_tuning import tune_garbage_collection
from bentos.serving.scheduling import use_batch_scheduling

_settings = settings_or_exit()
if is_serving():
    try:
        require_available(_settings.onnx_providers)
        if starts_services():
            require_working(_settings.providers)
    except ProviderNotInUse as error:
        raise SystemExit(f"ONNX_PROVIDERS: {error}") from None

QUIET = {
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
    "tracing": {"excluded_urls": ".*"},
}
"""BentoML's own metrics and access log are off: they cost more than a request and label metrics with raw paths."""


Payloads = Annotated[list[bytes], ContentType("application/octet-stream")]
"""One payload of `bentos.runner.codec` for each item of a batch."""


_in_batches = _settings.batch_size > 1
# Several processes with fixed shapes have few images each: the loop of a process puts them together in less processor
# time than BentoML's dispatcher, which checks every millisecond whether the last batch is done.
_by_bentoml = _in_batches and not (_settings.fixed_shapes and runner_processes(_settings) > 1)
_GATHER_S = 0.01
_lists = bentoml.api(
    # Not for batches of one: the dispatcher would check every millisecond whether the last batch is done.
    batchable=_in_batches,
    max_batch_size=max(2, _settings.batch_size),
    max_latency_ms=_settings.runner_max_latency_ms,
)

_EVER = 10**9
"""By default BentoML's client closes its session after 100 requests or 300 s, even while other callers use it."""


@bentoml.service(
    name=SERVICE,
    workers=runner_processes(_settings),
    threads=1,
    traffic={"timeout": _settings.runner_timeout_s},
    runner_connection={"max_requests": _EVER, "max_age": float(_EVER)},
    **QUIET,
)
class FaceRunner:
    """Each method takes a batch of requests and returns a payload for each, both encoded by `bentos.runner.codec`."""

    pack_model = bentoml.models.BentoModel(f"{_settings.face_pack}:latest")

    def __init__(self) -> None:
        # Imported here, so that processes that only call the runner start without InsightFace, two seconds earlier.
        from bentos.runner.local import extraction_of  # noqa: PLC0415

        use_batch_scheduling()
        self._extraction = extraction_of(Path(self.pack_model.path), _settings)
        self._callers = Callers()
        self._record: WorkRecord | None = None
        self._batches: FixedBatches | None = None
        self._one_batch = Lock()

    @bentoml.on_startup
    async def listen(self) -> None:
        """Open the socket of this process, unless BentoML's own endpoints are used instead."""
        tune_garbage_collection()
        try:
            transport = chosen_transport(_settings.runner_transport, batched=_in_batches)
        except TransportUnavailable:
            return  # the calling service reports this and ends
        socket = own_socket() if transport.name == "socket" else None
        self._record = None if socket is None else WorkRecord(record_beside(socket))
        if _settings.fixed_shapes:
            self._batches = FixedBatches(
                self._extraction,
                self._callers.wait_for,
                self._record,
                decode_threads=decode_threads(_settings),
                gather_s=0.0 if _by_bentoml else _GATHER_S,
            )
        if socket is not None:
            self._listener = await listen(
                self,
                socket,
                self._callers,
                batched=_by_bentoml,
                batches=self._batches if _in_batches else None,
            )

    @_lists
    def detect(self, requests: list[bytes]) -> Payloads:
        """Boxes, scores and landmarks."""
        return self._answers("detect", requests)

    @_lists
    def detect_and_embed(self, requests: list[bytes]) -> Payloads:
        """Boxes, scores, landmarks and embeddings."""
        return self._answers("detect_and_embed", requests)

    @_lists
    def embed_only_face(self, requests: list[bytes]) -> Payloads:
        """The only face with its embedding, or several faces without embeddings."""
        return self._answers("embed_only_face", requests)

    @_lists
    def embed_largest_face(self, requests: list[bytes]) -> Payloads:
        """The largest face with its embedding."""
        return self._answers("embed_largest_face", requests)

    @_lists
    def embed(self, requests: list[bytes]) -> Payloads:
        """Embeddings of faces whose landmarks are known."""
        return self._answers("embed", requests)

    @_lists
    def embed_at(self, requests: list[bytes]) -> Payloads:
        """Boxes, scores and landmarks of all faces, and the embedding of the face at the box."""
        return self._answers("embed_at", requests)

    @_lists
    def embed_only_at(self, requests: list[bytes]) -> Payloads:
        """The face at the box with its embedding."""
        return self._answers("embed_only_at", requests)

    def _answers(self, method: Method, requests: Sequence[bytes]) -> list[bytes]:
        """A payload for each request; requests whose caller no longer waits are dropped."""
        if self._batches is not None:
            return self._batches.answers(method, requests)
        tickets = [ticket_of(each) for each in requests]
        asked = [asked_of(method, decode_request(each)) for each in requests]
        with self._one_batch, self._recorded([ticket.number for ticket in tickets]):
            began = time.monotonic()
            found = self._extraction.run(
                method, asked, lambda number: self._callers.wait_for(tickets[number])
            )
            timing = Timing(began, **self._extraction.clock.take(), batch=len(requests))
        return [with_timing(timing, encode_answer(each)) for each in found]

    def _recorded(self, numbers: Sequence[int]) -> AbstractContextManager[None]:
        return nullcontext() if self._record is None else self._record.of(numbers)
