"""What the services ask of the runner, and the client that asks it over BentoML's hop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
from bentoml.exceptions import BentoMLException, ServiceUnavailable

from bentos.common.errors import DependencyUnavailable, Overloaded
from bentos.common.faces import BoundingBox, Embedding, FacesInImage, Landmarks
from bentos.runner.wire import decode_faces

_TRIES = 4


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


class RunnerClient:
    """`FaceFinder` over the hop to FaceRunner, with a bounded queue in front of it.

    `queue`: how many images may be on their way at once; one more is refused with `Overloaded` at once, because a
    caller who waits behind a long queue has given up before the answer comes.
    """

    def __init__(self, runner: Any, *, queue: int, timeout_s: float) -> None:
        self._runner = runner.to_async
        self._queue = queue
        self._timeout_s = timeout_s
        self._in_flight = 0

    async def detect(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask(self._runner.detect, images=[image])

    async def detect_and_embed(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask(self._runner.detect_and_embed, images=[image])

    async def detect_in_region(self, image: bytes, region: BoundingBox) -> FacesInImage:
        """See `FaceFinder`."""
        request = {"image": image, "region": region.as_list()}
        return await self._ask(self._runner.detect_in_region, requests=[request])

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """See `FaceFinder`."""
        request = {"image": image, "landmarks": [list(points) for points in landmarks]}
        found = await self._ask(self._runner.embed, requests=[request])
        return [face.embedding for face in found.faces]

    async def _ask(self, call: Callable[..., Awaitable[list[bytes]]], **batch: list[Any]) -> FacesInImage:
        if self._in_flight >= self._queue:
            raise Overloaded("More images are waiting than can be looked at in time; try again shortly.")
        self._in_flight += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                payloads = await _insisting(call, batch)
        except ServiceUnavailable as error:
            raise Overloaded(
                "The runner has more images than it can look at in time; try again shortly."
            ) from error
        except TimeoutError as error:
            raise DependencyUnavailable("runner", "it did not answer in time") from error
        except (BentoMLException, aiohttp.ClientError, OSError) as error:
            raise DependencyUnavailable("runner", f"the call failed ({type(error).__name__})") from error
        finally:
            self._in_flight -= 1
        return decode_faces(payloads[0])


async def _insisting(
    call: Callable[..., Awaitable[list[bytes]]], batch: Mapping[str, list[Any]]
) -> list[bytes]:
    """Ask again when the connection breaks: looking at an image twice changes nothing.

    The runner closes connections after 5 idle seconds while BentoML's client keeps them for 15, so a call now and
    then takes one that is just being closed. A runner process that dies takes its calls with it, and another answers.
    """
    for _ in range(_TRIES - 1):
        try:
            return await call(**batch)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            continue
    return await call(**batch)
