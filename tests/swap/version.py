"""Runs one version of both services as processes, and sends the traffic's requests to them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bentos.demo.process import RunningService, launched
from bentos.demo.real import SEARCH, VECTORIZER

KEY = "0123456789abcdef-key-of-the-tests"
_PATIENCE_S = 240.0


@dataclass
class Counts:
    """The sent requests, the failed ones and the wrong answers."""

    sent: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Version:
    """Both services of one face pack."""

    name: str
    vectorizer: RunningService
    search: RunningService
    session: aiohttp.ClientSession
    counts: Counts

    async def why_not_ready(self, service: RunningService) -> str | None:
        """The reason that /readyz gives, or None when it is ready."""
        async with self.session.get(f"{service.url}/readyz") as answer:
            return None if answer.status == 200 else await answer.text()

    async def refused(self, reason: str) -> None:
        """Wait until both services are not ready for this `reason`."""
        await self._until(lambda why: why is not None and reason in why, f"not ready because of {reason}")

    def has_logged(self, text: str) -> bool:
        """Whether the logs of both services contain `text`."""
        return all(text in service.log.read_text() for service in (self.vectorizer, self.search))

    async def ready(self) -> None:
        """Wait until both services are ready."""
        await self._until(lambda why: why is None, "ready")

    async def _until(self, true: Any, what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        for service in (self.vectorizer, self.search):
            why: str | None = "no answer"
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    why = await self.why_not_ready(service)
                    if true(why):
                        break
                assert service.process.poll() is None, service.log.read_text()[-2000:]
                assert time.monotonic() < deadline, f"{self.name} is not {what}: {why}"
                await asyncio.sleep(0.2)

    async def found(self, selfie: bytes, collection_id: str) -> list[str] | None:
        """The photos that a search finds; None if it failed, which is counted."""
        form = aiohttp.FormData({"collection_id": collection_id})
        form.add_field("file", selfie, filename="selfie.jpg")
        answer = await self._ask("search", "POST", f"{self.search.url}/search/", form)
        return None if answer is None else [match["photo_id"] for match in answer["results"]]

    async def detect(self, image: bytes, photo_id: str, collection_id: str | None) -> list[str] | None:
        """The ids of the faces of a new photo."""
        form = aiohttp.FormData({"photo_id": photo_id, **_given(collection_id)})
        form.add_field("file", image, filename="photo.jpg")
        answer = await self._ask("detect", "POST", f"{self.vectorizer.url}/detect_faces/", form)
        return None if answer is None else [face["face_id"] for face in answer["faces"]]

    async def add(self, face_id: str, collection_id: str | None) -> bool:
        form = aiohttp.FormData({"face_id": face_id, **_given(collection_id)})
        return await self._ask("add", "PUT", f"{self.vectorizer.url}/add_face/", form) is not None

    async def remove(self, photo_id: str, *, purge: bool) -> bool:
        url = f"{self.vectorizer.url}/remove/{photo_id}?purge={str(purge).lower()}"
        return await self._ask("remove", "DELETE", url) is not None

    async def _ask(
        self, kind: str, method: str, url: str, form: aiohttp.FormData | None = None
    ) -> dict[str, Any] | None:
        self.counts.sent[f"{self.name} {kind}"] += 1
        try:
            async with self.session.request(method, url, data=form) as answer:
                if answer.status == 200:
                    body: dict[str, Any] = await answer.json()
                    return body
                reason = f"{answer.status} {(await answer.text())[:300]}"
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = repr(error)
        self.counts.failed.append(f"{self.name} {kind}: {reason}")
        return None


@contextlib.contextmanager
def version(
    name: str, environment: dict[str, str], folder: Path, session: aiohttp.ClientSession, counts: Counts
) -> Iterator[Version]:
    """Start both services without waiting until they are ready; stop them at the end of the block."""
    with (
        launched(VECTORIZER, environment, log=folder / f"{name}-vectorizer.log") as vectorizer,
        launched(SEARCH, environment, log=folder / f"{name}-search.log") as search,
    ):
        yield Version(name, vectorizer, search, session, counts)


def _given(collection_id: str | None) -> dict[str, str]:
    return {} if collection_id is None else {"collection_id": collection_id}
