"""Sends searches, additions and removals to the running versions, and checks each response.

Every photo has its own collection, so that a search there has exactly one right answer.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.swap import people
from tests.swap.version import Version

_JOINED_LATER = 5
"""A photo gets its collection after this number of further photos; its vectors then have to be written again."""


@dataclass
class Photo:
    """A photo and its expected state. `by`: the version that added it."""

    photo_id: str
    person: int
    by: str
    face_id: str = ""
    state: Literal["joining", "there", "leaving", "gone"] = "there"

    @property
    def collection_id(self) -> str:
        return f"of-{self.photo_id}"


@dataclass
class Rates:
    """Requests per second to all versions together."""

    searches: float = 8.0
    additions: float = 1.0
    removals: float = 1.0


@dataclass
class Traffic:
    """The `versions` that get requests, and the photos. `settled`: every version finds the photos of the others."""

    rates: Rates
    smallest_base: int
    versions: list[Version] = field(default_factory=list)
    photos: list[Photo] = field(default_factory=list)
    settled: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(5)
        self._selfies = people.selfies()
        self._numbers = itertools.count()
        self._joining: list[Photo] = []

    def those(self, state: str) -> list[Photo]:
        return [photo for photo in self.photos if photo.state == state]

    async def seed(self, version: Version, count: int, *, at_once: int = 8) -> None:
        """Add this number of photos, each with its collection."""
        gate = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with gate:
                photo = await self._added(version, joined=True)
                if photo is not None:
                    photo.by = "seed"

        await asyncio.gather(*(one() for _ in range(count)))

    async def check_all(self, version: Version, *, at_once: int = 8) -> None:
        """Search for every photo, indexed or removed."""
        gate = asyncio.Semaphore(at_once)

        async def one(photo: Photo) -> None:
            async with gate:
                await self._check(version, photo)

        await asyncio.gather(*(one(photo) for photo in self.those("there") + self.those("gone")))

    @asynccontextmanager
    async def running(self):
        """Send requests during the block; then wait for those in progress."""
        self._stop = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        streams = [
            asyncio.create_task(self._stream(rate, work))
            for rate, work in (
                (self.rates.searches, self._search),
                (self.rates.additions, self._add),
                (self.rates.removals, self._remove),
            )
        ]
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.gather(*streams)
            await asyncio.gather(*self._under_way)

    async def leave(self, version: Version) -> None:
        """Send no more requests to this version; returns when those in progress are answered."""
        self.versions.remove(version)
        await asyncio.gather(*self._under_way)

    async def finish_joining(self, version: Version) -> None:
        for photo in [*self._joining]:
            await self._join(version, photo)

    async def _stream(self, rate: float, work: Callable[[Version], Awaitable[None]]) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # More requests at once would only wait for each other.
            if len(self._under_way) < 16:
                task = asyncio.create_task(work(self._random.choice(self.versions)))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _search(self, version: Version) -> None:
        gone = self.those("gone")
        if gone and self._random.random() < 0.3:
            await self._check(version, self._random.choice(gone))
        elif known := self._known_to(version):
            await self._check(version, self._random.choice(known), stranger=self._random.random() < 0.2)

    async def _check(self, version: Version, photo: Photo, *, stranger: bool = False) -> None:
        """Check that an indexed photo is found by its person's selfie only, and a removed photo is not found."""
        before = photo.state
        person = (photo.person + 1) % len(self._selfies) if stranger else photo.person
        right = [photo.photo_id] if before == "there" and not stranger else []
        found = await version.found(self._selfies[person], photo.collection_id)
        if found is not None and found != right and photo.state == before:
            version.counts.wrong.append(
                f"{version.name} found {found} where {photo} is{' (a stranger)' if stranger else ''}"
            )

    async def _add(self, version: Version) -> None:
        photo = await self._added(version, joined=False)
        if photo is None:
            return
        self._joining.append(photo)
        if len(self._joining) > _JOINED_LATER:
            await self._join(version, self._joining[0])

    async def _join(self, version: Version, photo: Photo) -> None:
        self._joining.remove(photo)
        if await version.add(photo.face_id, photo.collection_id):
            # Only searches of the version that wrote last are certain to find it at once.
            photo.by, photo.state = version.name, "there"
            await self._check(version, photo)

    async def _added(self, version: Version, *, joined: bool) -> Photo | None:
        number = next(self._numbers)
        image, person = people.photo_of(number)
        photo = Photo(f"photo-{number:05}", person, version.name, state="joining")
        collection_id = photo.collection_id if joined else None
        faces = await version.detect(image, photo.photo_id, collection_id)
        if faces is None or not await version.add(faces[0], None):
            return None
        photo.face_id = faces[0]
        self.photos.append(photo)
        if joined:
            photo.state = "there"
        return photo

    async def _remove(self, version: Version) -> None:
        there = self.those("there")
        if len(there) <= self.smallest_base:
            return
        photo = self._random.choice(there)
        photo.state = "leaving"
        if await version.remove(photo.photo_id, purge=self._random.random() < 0.5):
            photo.state = "gone"
            for each in [*self.versions]:
                await self._check(each, photo)

    def _known_to(self, version: Version) -> list[Photo]:
        mine = {"seed", version.name}
        return [p for p in self.those("there") if self.settled or p.by in mine]
