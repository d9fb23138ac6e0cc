"""`RunnerClient`, the `FaceFinder` of the services: calls the processes of the runner."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time

from bentos.domain.deadline import deadline_within
from bentos.domain.errors import DependencyUnavailable, InternalError, Overloaded
from bentos.domain.faces import FacesInImage
from bentos.observability.runner_metrics import BATCH_SIZE, FACES_PER_IMAGE, RUNNER_IN_FLIGHT, RUNNER_QUEUE
from bentos.observability.stages import add_stage, end_stage
from bentos.pipeline.methods import Method
from bentos.pipeline.stage_clock import STAGES
from bentos.runner.codec import Request, Ticket, Timing, decode_faces, encode_request, split_timing
from bentos.runner.finder import FinderByMethod
from bentos.runner.transport.base import ProcessFailed, RunnerTransport

logger = logging.getLogger(__name__)

_MOST_FAILURES = 2
"""When this number of processes have failed while they worked on an image, the image is taken to be the cause."""
_RETRY_PAUSE_S = 0.05
_CHECK_WITHIN_S = 2.0


class RunnerClient(FinderByMethod):
    """`FaceFinder` over a transport to the processes of FaceRunner, with a bounded queue.

    `queue`: how many images may be queued or running in the runner. One more is refused with `Overloaded` at once,
    because its caller would give up before a longer queue is processed. An image whose caller has given up counts until
    its process has dropped it.
    """

    def __init__(self, transport: RunnerTransport, *, queue: int, timeout_s: float) -> None:
        self._transport = transport
        self._queue = queue
        self._timeout_s = timeout_s
        self._waiting = 0
        RUNNER_IN_FLIGHT.set_function(lambda: self._in_flight)
        RUNNER_QUEUE.set_function(lambda: max(0, self._in_flight - self._transport.working))

    @property
    def is_full(self) -> bool:
        """See `FaceFinder`."""
        return self._in_flight >= self._queue

    async def check(self) -> None:
        """See `FaceFinder`."""
        try:
            async with asyncio.timeout(_CHECK_WITHIN_S):
                await self._transport.check()
        except (TimeoutError, OSError):
            raise DependencyUnavailable("runner", "no process of it answers") from None

    async def close(self) -> None:
        """See `FaceFinder`."""
        await self._transport.close()

    @property
    def _in_flight(self) -> int:
        return self._waiting + self._transport.abandoned

    async def _ask(self, method: Method, request: Request) -> FacesInImage:
        if self.is_full:
            raise Overloaded
        self._waiting += 1
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                timed = await self._answer_to(method, request, deadline_within(self._timeout_s))
        except TimeoutError as error:
            raise DependencyUnavailable("runner", "it did not answer in time") from error
        except OSError as error:
            raise DependencyUnavailable("runner", f"the call failed ({type(error).__name__})") from error
        finally:
            self._waiting -= 1
        timing, payload = split_timing(timed)
        _record(timing, asked)
        try:
            found = decode_faces(payload)
        finally:
            end_stage("from_runner")
        FACES_PER_IMAGE.observe(found.count)
        return found

    async def _answer_to(self, method: Method, request: Request, deadline: float) -> bytes:
        """Send the request again when a process fails; this is safe, because the work on an image has no side effects.

        The images that were queued behind the failed image go to another process. The failed image goes there too,
        alone in its batch, and is refused with `InternalError` when that process fails as well. A transport that cannot
        tell which image failed gives up each image after the same number of failures, as unavailable.
        """
        ticket = Ticket(secrets.randbits(64), deadline)
        failures, certain = 0, True
        while True:
            try:
                return await self._transport.ask(method, encode_request(request, ticket), ticket.number)
            except ProcessFailed as failed:
                failures += failed.worked_on_it is not False
                certain = certain and failed.worked_on_it is not None
                ticket = ticket._replace(alone=failures > 0)
            if failures == _MOST_FAILURES:
                digest = hashlib.sha256(request.image).hexdigest()
                logger.error(
                    "%d runner processes failed at %s of the image with SHA-256 %s%s",
                    failures,
                    method,
                    digest,
                    "" if certain else ", or of others that they had at the time",
                )
                if certain:
                    raise InternalError
                raise DependencyUnavailable("runner", "its processes ended before they answered")
            await asyncio.sleep(_RETRY_PAUSE_S)


def _record(timing: Timing, asked: float) -> None:
    BATCH_SIZE.observe(timing.batch)
    add_stage("to_runner", timing.began - asked, began=asked)
    began = timing.began
    for stage in STAGES:
        seconds: float = getattr(timing, stage)
        add_stage(stage, seconds, began=began)
        began += seconds
