"""Runs both services as processes on real servers, with clients and checks for tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from bentos.audit.reading import read_stores
from bentos.audit.snapshot import Kind, Snapshot
from bentos.composition import Dependencies
from bentos.config.settings import Settings
from bentos.demo.process import RunningService, serving
from bentos.demo.real import SEARCH, VECTORIZER
from bentos.demo.servers.real import RealServers, real_servers
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.finder import FaceFinder

ROOT = Path(__file__).parents[3]
KEY = "0123456789abcdef-key-of-the-tests"
TIMEOUT_S = 2
LEASE_S = 9
"""Longer than the timeouts of all stores together, as the settings require."""
PATIENCE_S = 180
_COULD_NOT_WORK = 2
_AUDITS = 5

AnyDependencies = TypeVar("AnyDependencies", bound=Dependencies)


@dataclass
class Stack:
    """The running servers and services, and the settings of the services."""

    servers: RealServers
    vectorizer: RunningService
    search: RunningService
    environment: dict[str, str]
    folder: Path

    def audit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the audit with the settings of the services; again while a store does not answer in time."""
        for _ in range(_AUDITS):
            done = subprocess.run(
                [sys.executable, "-m", "bentos.audit", *arguments],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode != _COULD_NOT_WORK:
                break
        return done

    def api(self) -> Api:
        return Api(self.vectorizer.url, self.search.url)

    @contextlib.asynccontextmanager
    async def dependencies(
        self, finder: FaceFinder, kind: type[AnyDependencies] = Dependencies
    ) -> AsyncIterator[AnyDependencies]:
        """Open the stores in this process."""
        dependencies = dependencies_of(self.environment, finder, kind)
        stores = (dependencies.metadata, dependencies.vectors, dependencies.images)
        try:
            for store in stores:
                await store.open()
            yield dependencies
        finally:
            for store in stores:
                await store.close()


@dataclass
class Api:
    """One method per endpoint of both services; returns plain responses. Safe to share by threads."""

    vectorizer_url: str
    search_url: str
    vectorizer: httpx.Client = field(init=False)
    searcher: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=64)
        headers = {"X-Api-Key": KEY}
        self.vectorizer = httpx.Client(
            base_url=self.vectorizer_url, headers=headers, timeout=60, limits=limits
        )
        self.searcher = httpx.Client(base_url=self.search_url, headers=headers, timeout=60, limits=limits)

    def close(self) -> None:
        self.vectorizer.close()
        self.searcher.close()

    def detect(self, image: bytes, **fields: str) -> httpx.Response:
        return self.vectorizer.post("/detect_faces/", files={"file": image}, data=fields)

    def add(self, face_id: str) -> httpx.Response:
        return self.vectorizer.put("/add_face/", data={"face_id": face_id})

    def remove(self, photo_id: str, *, purge: bool = False) -> httpx.Response:
        return self.vectorizer.delete(f"/remove/{photo_id}", params={"purge": purge})

    def remove_face(self, photo_id: str, face_id: str) -> httpx.Response:
        return self.vectorizer.delete(f"/remove/{photo_id}", params={"face_id": face_id})

    def remove_all(self, **query: str) -> httpx.Response:
        return self.vectorizer.delete("/remove_all/", params=query)

    def status(self, **query: Any) -> httpx.Response:
        return self.vectorizer.get("/embed_status/", params=query)

    def search(self, selfie: bytes, **fields: Any) -> httpx.Response:
        return self.searcher.post("/search/", files={"file": selfie}, data=fields)

    def detected(self, image: bytes, **fields: str) -> dict[str, Any]:
        """Detect a photo; returns it with its faces. Fails unless the status is 200."""
        answer = self.detect(image, **fields)
        assert answer.status_code == 200, answer.text
        photo: dict[str, Any] = answer.json()
        return photo

    def indexed(self, image: bytes, **fields: str) -> dict[str, Any]:
        """Detect a photo and add every face."""
        photo = self.detected(image, **fields)
        for face in photo["faces"]:
            added = self.add(face["face_id"])
            assert added.status_code == 200, added.text
        return photo

    def found(self, selfie: bytes, **fields: Any) -> list[str]:
        """The photo_ids that a search finds. Fails unless the status is 200."""
        answer = self.search(selfie, **fields)
        assert answer.status_code == 200, answer.text
        return [match["photo_id"] for match in answer.json()["results"]]


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Start everything with short timeouts and data in `folder`; stop everything at the end of the block."""
    with real_servers(folder) as servers:
        environment = {
            "API_KEY": KEY,
            **servers.environment(),
            **{f"{name}_TIMEOUT_S": str(TIMEOUT_S) for name in ("MILVUS", "POSTGREST", "S3")},
            "LEASE_S": str(LEASE_S),
            "DEPENDENCY_CHECK_S": "1",
            "SHUTDOWN_DELAY_S": "0",
        }
        with (
            serving(VECTORIZER, environment, log=folder / "image-vectorizer.log") as vectorizer,
            serving(SEARCH, environment, log=folder / "image-search.log") as search,
        ):
            yield Stack(servers, vectorizer, search, environment, folder)


def dependencies_of(
    environment: dict[str, str], finder: FaceFinder, kind: type[AnyDependencies] = Dependencies
) -> AnyDependencies:
    """Dependencies with the settings of the services; the stores are not open yet."""
    settings = Settings(**{name.lower(): value for name, value in environment.items()})
    return kind(settings, finder, PackInfo.read(face_pack_folder(settings.face_pack)))


async def disagreements(dependencies: Dependencies) -> dict[str, list[tuple[str, str]]]:
    """The differences that the audit finds: photo_id and face_id by kind. Empty when the stores agree."""
    with tempfile.TemporaryDirectory() as folder, Snapshot(Path(folder) / "snapshot.db") as snapshot:
        await read_stores(dependencies, snapshot)
        found = {kind.title: [(f.photo_id, f.face_id) for f in snapshot.findings(kind)] for kind in Kind}
    return {title: findings for title, findings in found.items() if findings}


def eventually(true: Callable[[], bool], what: str) -> None:
    """Wait until the condition is true; fails after a timeout."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.2)
