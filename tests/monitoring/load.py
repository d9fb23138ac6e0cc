"""Calls every endpoint of the running services, also wrongly, until it is told to stop, so that every metric moves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator

import httpx

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.system.real.stack import Api, Stack

COLLECTION = "load-"
"""How the collections of the load begin."""
_MORE_THAN_THE_QUEUE = 150


class Callers:
    """Requests of one kind each; all are made again and again by `calling`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._photo = photos.astronaut().read_bytes()
        self._group = photos.group_photo().read_bytes()
        self._cup = photos.coffee_cup().read_bytes()
        self._selfie = photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))

    def search(self) -> None:
        """A search that finds the photo."""
        self._api.search(self._selfie)

    def photo(self) -> None:
        """A new photo: detected, its faces added, listed, removed again one time in two."""
        found = self._api.detect(self._photo, collection_id=f"{COLLECTION}{uuid.uuid4().hex[:8]}")
        if found.status_code != 200:
            return
        for face in found.json()["faces"]:
            self._api.add(face["face_id"])
        self._api.status(limit=5)
        if found.json()["photo_id"] < "8":
            self._api.remove(found.json()["photo_id"])

    def mistake(self) -> None:
        """What callers do wrong."""
        self._api.detect(self._cup, collection_id=f"{COLLECTION}{uuid.uuid4().hex[:8]}")
        self._api.search(self._group)
        self._api.search(b"not an image")
        self._api.remove("never-seen")

    def burst(self) -> list[int]:
        """More searches at once than RUNNER_QUEUE allows; their statuses."""
        return asyncio.run(self._burst())

    async def _burst(self) -> list[int]:
        limits = httpx.Limits(max_connections=_MORE_THAN_THE_QUEUE)
        async with httpx.AsyncClient(headers=self._api.searcher.headers, timeout=60, limits=limits) as client:
            address = f"{self._api.search_url}/search/"
            searches = [
                client.post(address, files={"file": self._selfie}) for _ in range(_MORE_THAN_THE_QUEUE)
            ]
            return [answer.status_code for answer in await asyncio.gather(*searches)]


@contextlib.contextmanager
def calling(stack: Stack, *, pause_s: float = 0.05) -> Iterator[Callers]:
    """Make requests of every kind while the block runs, each kind in a thread of its own."""
    stopped = threading.Event()
    api = stack.api()
    callers = Callers(api)

    def repeat(call: Callable[[], None]) -> None:
        for _ in itertools.count():
            with contextlib.suppress(httpx.HTTPError):  # a service that restarts; the metrics are what counts
                call()
            if stopped.wait(pause_s):
                return

    kinds = (callers.search, callers.search, callers.photo, callers.mistake)
    threads = [threading.Thread(target=repeat, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
        api.close()
