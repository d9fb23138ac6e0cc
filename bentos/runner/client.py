"""What the services ask of the runner, and the client that asks it over the hop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiohttp

from bentos.common.errors import DependencyUnavailable, Overloaded
from bentos.common.faces import BoundingBox, Embedding, FacesInImage, Landmarks
from bentos.common.stages import add_stage, end_stage
from bentos.runner.hop import PATH
from bentos.runner.stage_clock import STAGES
from bentos.runner.wire import Request, decode_faces, encode_request, split_timing

_TRIES = 4

_KEPT_IDLE_S = 4
"""The runner closes its connections after five idle seconds; the one who asks has to be the first."""


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

    async def close(self) -> None:
        """Let go of what it holds. Nothing is asked afterwards."""


class RunnerClient:
    """`FaceFinder` over the hop to FaceRunner, with a bounded queue in front of it.

    `address`: where the runner listens, as BentoML writes it: `file:///path/of/a/socket` or `tcp://host:port`.
    `queue`: how many images may be on their way at once; one more is refused with `Overloaded` at once, because a
    caller who waits behind a long queue has given up before the answer comes.
    """

    def __init__(self, address: str, *, queue: int, timeout_s: float) -> None:
        self._address = urlsplit(address)
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

    async def close(self) -> None:
        """See `FaceFinder`."""
        if "_session" in self.__dict__:
            await self._session.close()

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """Made when it is first needed, because it belongs to the running event loop."""
        connector = (
            aiohttp.UnixConnector(unquote(self._address.path), limit=0, keepalive_timeout=_KEPT_IDLE_S)
            if self._address.scheme == "file"
            else aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_IDLE_S)
        )
        host = self._address.netloc or "runner"
        return aiohttp.ClientSession(
            f"http://{host}", connector=connector, timeout=aiohttp.ClientTimeout(None)
        )

    async def _ask(self, method: str, request: Request) -> FacesInImage:
        if self.is_full:
            raise Overloaded
        self._in_flight += 1
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                payload = await self._insist(PATH + method, encode_request(request))
        except TimeoutError as error:
            raise DependencyUnavailable("runner", "it did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable("runner", f"the call failed ({type(error).__name__})") from error
        finally:
            self._in_flight -= 1
        timing, answer = split_timing(payload)
        add_stage("to_runner", timing.began - asked)
        for stage in STAGES:
            add_stage(stage, getattr(timing, stage))
        try:
            return decode_faces(answer)
        finally:
            end_stage("from_runner")

    async def _insist(self, path: str, body: bytes) -> bytes:
        """Ask again when the connection breaks: looking at an image twice changes nothing.

        A runner process that dies takes its calls with it, and another answers.
        """
        for _ in range(_TRIES - 1):
            with suppress(aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                return await self._post(path, body)
        return await self._post(path, body)

    async def _post(self, path: str, body: bytes) -> bytes:
        async with self._session.post(path, data=body) as answer:
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                raise Overloaded
            answer.raise_for_status()
            return await answer.read()
