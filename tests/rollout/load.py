"""The load: searches at a constant rate, and photos that are indexed and removed one after another."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import httpx

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.rollout.stores import KEY

_ASTRONAUT = BoundingBox(178.6, 63.4, 269.1, 173.9)


@dataclass(frozen=True)
class Failure:
    """A request with a wrong or missing response; times are of time.monotonic, s."""

    kind: str
    reason: str
    begun: float
    ended: float


class Load:
    """The sent requests and their responses."""

    def __init__(self, url: str, rate: float) -> None:
        self._url, self._rate = url, rate
        self.sent: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.latencies: list[float] = []
        self._photo = photos.astronaut().read_bytes()
        selfie = photos.selfie_of(photos.astronaut(), _ASTRONAUT, scale=1.2)
        # Built once: aiohttp takes longer for a form than the service for a search.
        form = httpx.Request(
            "POST", url, data={"collection_id": "known"}, files={"file": ("selfie.jpg", selfie)}
        )
        self._selfie = form.read()
        self._selfie_headers = {"Content-Type": form.headers["Content-Type"]}
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run both streams during the block; then wait for the requests in progress."""
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"X-Api-Key": KEY}
        timeout = aiohttp.ClientTimeout(60)
        async with aiohttp.ClientSession(
            self._url, connector=connector, headers=headers, timeout=timeout
        ) as session:
            self._session = session
            await self._photo_lifecycle("known")
            self._stop = asyncio.Event()
            streams = [asyncio.create_task(self._searches()), asyncio.create_task(self._photos())]
            try:
                yield
            finally:
                self._stop.set()
                await asyncio.gather(*streams)
                await asyncio.gather(*self._under_way)

    async def _searches(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._search())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _search(self) -> None:
        begun = time.monotonic()
        answer = await self._ask("search", "POST", "/search/", self._selfie, self._selfie_headers)
        if answer is not None:
            self.latencies.append(time.monotonic() - begun)
            if answer["count"] != 1:
                self._fail("search", f"{answer['count']} results", begun)

    async def _photos(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            await self._photo_lifecycle(f"roll-{number}", gone=True)

    async def _photo_lifecycle(self, collection: str, *, gone: bool = False) -> None:
        form = aiohttp.FormData({"collection_id": collection})
        form.add_field("file", self._photo, filename="photo.png")
        photo = await self._ask("detect", "POST", "/detect_faces/", form)
        if photo is None:
            return
        await self._ask(
            "add", "PUT", "/add_face/", aiohttp.FormData({"face_id": photo["faces"][0]["face_id"]})
        )
        if gone:
            removed = await self._ask("remove", "DELETE", f"/remove/{photo['photo_id']}?purge=true")
            if removed is not None and removed["faces_removed"] != 1:
                self._fail("remove", f"{removed['faces_removed']} faces removed", time.monotonic())

    async def _ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: aiohttp.FormData | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, object] | None:
        self.sent[kind] += 1
        begun = time.monotonic()
        try:
            async with self._session.request(method, path, data=body, headers=headers) as answer:
                if answer.status == 200:
                    return await answer.json()
                self._fail(kind, f"{answer.status} {(await answer.text())[:200]}", begun)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._fail(kind, repr(error), begun)
        return None

    def _fail(self, kind: str, reason: str, begun: float) -> None:
        self.failures.append(Failure(kind, reason, begun, time.monotonic()))
