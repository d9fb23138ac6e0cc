"""Fixtures: the all-in-one service in this process, with real models, embedded stores and the middleware."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bentos.composition import compose, middleware_options
from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from bentos.http.middleware.stack import with_middleware
from bentos.http.ping import ping_router
from bentos.observability.logs import configure_logging
from bentos.pipeline.extraction import Extraction
from bentos.runner.local import LocalFaceFinder
from bentos.search.api import router as search_router
from bentos.search.wiring import attach_search
from bentos.vectorizer.api import router as vectorizer_router
from bentos.vectorizer.overview import report_overview
from bentos.vectorizer.wiring import attach_indexing

KEY = "0123456789abcdef-key-of-the-tests"
OTHER_KEY = "fedcba9876543210-second-key"


class Api:
    """One method per endpoint; returns the plain responses."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def detect(self, image: bytes | None = None, **fields: str) -> httpx.Response:
        files = {"file": ("photo", image)} if image is not None else None
        return await self.client.post("/detect_faces/", files=files, data=fields)

    async def add(self, **fields: str) -> httpx.Response:
        return await self.client.put("/add_face/", data=fields)

    async def search(self, image: bytes | None = None, **fields: Any) -> httpx.Response:
        files = {"file": ("selfie", image)} if image is not None else None
        return await self.client.post("/search/", files=files, data=fields)

    async def status(self, **query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.client.get("/embed_status/", params=query)).json()
        return answer

    async def index(self, image: bytes, **fields: str) -> dict[str, Any]:
        """Detect a photo and add all of its faces."""
        response = await self.detect(image, **fields)
        assert response.status_code == 200, response.text
        photo: dict[str, Any] = response.json()
        for face in photo["faces"]:
            added = await self.add(face_id=face["face_id"])
            assert added.status_code == 200, added.text
        return photo


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings on embedded stores; keyword arguments add to them."""

    def settings(**more: Any) -> Settings:
        return Settings(
            api_key=f"{KEY}, {OTHER_KEY}",
            milvus_uri=str(tmp_path / "vectors.db"),
            postgrest_url=f"sqlite:///{tmp_path / 'metadata.db'}",
            s3_endpoint_url=f"file://{tmp_path / 'images'}",
            **{"log_level": "error", **more},
        )

    return settings


@asynccontextmanager
async def serving_in_process(settings: Settings, extraction: Extraction) -> AsyncIterator[httpx.AsyncClient]:
    """A client, with a key, of an all-in-one that is ready."""
    app = compose(
        "face-search",
        settings,
        routers=[vectorizer_router, search_router, ping_router("image-search")],
        attach=[attach_indexing, attach_search],
        opens=["milvus", "postgrest", "object_store"],
        background=[report_overview],
    )
    app.state.finder = lambda: LocalFaceFinder(extraction)
    guarded = with_middleware(app, middleware_options("face-search", settings, app))
    async with app.router.lifespan_context(app):
        while app.state.readiness.not_ready():
            await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(app=guarded, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers={"X-Api-Key": KEY}, timeout=60
        ) as client:
            yield client


@pytest_asyncio.fixture
async def api(environment: Callable[..., Settings], extraction: Extraction) -> AsyncIterator[Api]:
    async with serving_in_process(environment(), extraction) as client:
        yield Api(client)


@pytest.fixture
def request_log() -> Iterator[io.StringIO]:
    """The lines of the access log."""
    configure_logging("info")
    logger, written = logging.getLogger("bentos.http.middleware.access_log"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.getLogger("bentos").handlers[0].formatter)
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield written
    logger.removeHandler(handler)
    logger.setLevel("NOTSET")


@pytest.fixture(scope="session")
def group_photo() -> bytes:
    return photos.group_photo().read_bytes()


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    return photos.astronaut().read_bytes()


@pytest.fixture(scope="session")
def coffee_cup() -> bytes:
    return photos.coffee_cup().read_bytes()


@pytest.fixture(scope="session")
def selfie() -> bytes:
    """A selfie of the astronaut."""
    return photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))
