"""What the services ask of the runner, and the client that asks it over the hop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from bentos.domain.errors import DependencyUnavailable, Overloaded
from bentos.domain.faces import BoundingBox, Embedding, FacesInImage, Landmarks
from bentos.observability.stages import add_stage, end_stage
from bentos.pipeline.stage_clock import STAGES
from bentos.runner.codec import Request, decode_faces, encode_request, split_timing
from bentos.runner.transport.frames import Frame
from bentos.runner.transport.pool import RunnerProcesses
from bentos.runner.transport.server import METHODS, Method

_TRIES = 4
_CHECK_WITHIN_S = 2.0


class FaceFinder(Protocol):
    """Faces in images.

    Every method takes the bytes of a JPEG, PNG or WebP image and raises `InvalidImageFormat`, `ImageTooLarge` (more
    pixels than the limit), `Overloaded`, or `DependencyUnavailable` when the runner does not answer in time.
    """

    async def detect(self, image: bytes) -> FacesInImage:
        """All faces, without embeddings."""

    async def detect_and_embed(self, image: bytes) -> FacesInImage:
        """All faces, each with its embedding."""

    async def detect_in_region(self, image: bytes, region: BoundingBox) -> FacesInImage:
        """The faces whose centre lies in the region, without embeddings."""

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """One embedding for each face, (dim,) float32, L2-normalised; None where the landmarks are degenerate."""

    @property
    def is_full(self) -> bool:
        """Whether one more image would be refused as `Overloaded`."""

    async def check(self) -> None:
        """Return when a process answers that the next image would go to. Raises `DependencyUnavailable`."""

    async def close(self) -> None:
        """Let go of what it holds. Nothing is asked afterwards."""


class RunnerClient:
    """`FaceFinder` over the hop to FaceRunner, with a bounded queue in front of it.

    `shared`: the socket beside which the runner's processes listen.
    `queue`: how many images may be on their way at once; one more is refused with `Overloaded` at once, because a
    caller who waits behind a long queue has given up before the answer comes.
    """

    def __init__(self, shared: Path, *, queue: int, timeout_s: float) -> None:
        self._processes = RunnerProcesses(shared)
        self._queue = queue
        self._timeout_s = timeout_s
        self._in_flight = 0

    async def detect(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("detect", Request(image))

    async def detect_and_embed(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("detect_and_embed", Request(image))

    async def detect_in_region(self, image: bytes, region: BoundingBox) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("detect_in_region", Request(image, region=region))

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """See `FaceFinder`."""
        found = await self._ask("embed", Request(image, landmarks=tuple(landmarks)))
        return [face.embedding for face in found.faces]

    @property
    def is_full(self) -> bool:
        """See `FaceFinder`."""
        return self._in_flight >= self._queue

    async def check(self) -> None:
        """See `FaceFinder`."""
        try:
            async with asyncio.timeout(_CHECK_WITHIN_S):
                await self._processes.check()
        except (TimeoutError, OSError):
            raise DependencyUnavailable("runner", "no process of it answers") from None

    async def close(self) -> None:
        """See `FaceFinder`."""
        self._processes.close()

    async def _ask(self, method: Method, request: Request) -> FacesInImage:
        if self.is_full:
            raise Overloaded
        self._in_flight += 1
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                timed = await self._insist(method, encode_request(request))
        except TimeoutError as error:
            raise DependencyUnavailable("runner", "it did not answer in time") from error
        except (EOFError, OSError) as error:
            raise DependencyUnavailable("runner", f"the call failed ({type(error).__name__})") from error
        finally:
            self._in_flight -= 1
        timing, payload = split_timing(timed)
        add_stage("to_runner", timing.began - asked)
        for stage in STAGES:
            add_stage(stage, getattr(timing, stage))
        try:
            return decode_faces(payload)
        finally:
            end_stage("from_runner")

    async def _insist(self, method: Method, body: bytes) -> bytes:
        """Ask again when the connection breaks: looking at an image twice changes nothing.

        A process that dies takes its calls with it, and another answers, the one that is started in its place at the
        latest. An image that ends every process that looks at it does not get to all of them.
        """
        request = Frame(METHODS.index(method), body)
        broken = 0
        while True:
            try:
                return _body_of(await self._processes.ask(request))
            except (EOFError, ConnectionError):
                broken += 1
                if broken == _TRIES:
                    raise


def _body_of(answer: Frame) -> bytes:
    """What a runner answered. Raises `Overloaded`, or `DependencyUnavailable` when it failed."""
    if answer.kind == HTTPStatus.OK:
        return answer.body
    if answer.kind == HTTPStatus.SERVICE_UNAVAILABLE:
        raise Overloaded
    raise DependencyUnavailable("runner", f"it failed with status {answer.kind}")
