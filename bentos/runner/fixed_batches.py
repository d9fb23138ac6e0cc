"""The requests of a runner process whose networks run over batches of fixed shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Any

from bentos.domain.errors import DependencyUnavailable
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.methods import Method
from bentos.runner.batch_loop import BatchLoop, InProgress
from bentos.runner.codec import (
    Ticket,
    Timing,
    asked_of,
    decode_request,
    encode_answer,
    ticket_of,
    with_timing,
)
from bentos.runner.transport.working import WorkRecord

LATER = b""
"""The payload of a request that leaves its batch: its answer follows (see `FixedBatches.answer`)."""


class FixedBatches:
    """Decodes a request when it arrives, and runs those together that arrive as one batch.

    `is_wanted`: whether the caller of a ticket still waits. `record`: where the numbers of the requests in progress are
    written. `gather_s`: see `BatchLoop`.
    """

    def __init__(
        self,
        extraction: Extraction,
        is_wanted: Callable[[Ticket], bool],
        record: WorkRecord | None,
        *,
        decode_threads: int,
        gather_s: float = 0.0,
    ) -> None:
        self._extraction, self._is_wanted, self._record = extraction, is_wanted, record
        self._loop = BatchLoop(
            extraction.networks, extraction.clock, threads=decode_threads, gather_s=gather_s
        )
        self._prepared: dict[int, InProgress] = {}
        self._loop.wait_until_warm()

    @contextmanager
    def prepared(self, method: Method, payload: bytes) -> Iterator[InProgress]:
        """Decode the image of a request, for the next call of `answers` with it inside this block."""
        number = ticket_of(payload).number
        image = self._prepared[number] = self._begin(method, payload)
        try:
            yield image
        finally:
            del self._prepared[number]
            if not image.has_entered:
                image.prepared.add_done_callback(lambda _: self._give_up(image))

    def enter(self, image: InProgress) -> None:
        """Run the networks over a prepared image, with all that are in progress; `answer` once its answer is there."""
        self._loop.enter([image])

    def answers(self, method: Method, payloads: Sequence[bytes]) -> list[bytes]:
        """The answer to each request; `LATER` for prepared requests that take longer. They run as one batch."""
        numbers = [ticket_of(each).number for each in payloads]
        images = [
            self._prepared.get(number) or self._begin(method, payload)
            for number, payload in zip(numbers, payloads, strict=True)
        ]
        self._loop.enter([image for image in images if image.prepared.done()])
        for image in images:
            if not image.has_entered:
                image.prepared.add_done_callback(partial(self._enter, image))
        ends: list[Future[Any]] = [
            image.left if number in self._prepared else image.answer
            for number, image in zip(numbers, images, strict=True)
        ]
        wait(ends)
        for image in images:
            image.batch = max(image.batch, len(images))
        return [self.answer(image) if image.answer.done() else LATER for image in images]

    @staticmethod
    def answer(image: InProgress) -> bytes:
        """The answer to a finished request, after its timing."""
        timing = Timing(image.began, **image.seconds, batch=image.batch)
        return with_timing(timing, encode_answer(image.answer.result()))

    def _begin(self, method: Method, payload: bytes) -> InProgress:
        ticket = ticket_of(payload)

        def is_wanted() -> bool:
            return self._is_wanted(ticket)

        image = InProgress(
            self._extraction.task(method, asked_of(method, decode_request(payload)), is_wanted)
        )
        if record := self._record:
            record.add(ticket.number)
            image.answer.add_done_callback(lambda _: record.remove(ticket.number))
        self._loop.prepare(image)
        return image

    def _enter(self, image: InProgress, _prepared: Future[None]) -> None:
        """Not with the others of its batch: it may be decoded only after they have ended and freed their memory."""
        self._loop.enter([image])

    def _give_up(self, image: InProgress) -> None:
        self._loop.give_up(image, DependencyUnavailable("runner", "the request was not in any batch"))
