"""Tests of REQUEST_TIMEOUT_S: at the deadline a request gets a 504 response and its work is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from bentos.config.loading import load_settings
from bentos.config.settings import Settings, SettingsError
from bentos.domain.deadline import deadline_within
from bentos.http.api import EitherSlashRouter, create_api
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.middleware.stack import with_middleware
from bentos.pipeline.extraction import Extraction
from bentos.stores.milvus.store import MilvusVectorStore
from tests.http.conftest import KEY, Api, serving_in_process

TIMEOUT_S = 0.3
HEADERS = {"X-Api-Key": KEY}


class Handlers:
    """An app with slow handlers; `ended` and `cancelled` count their outcomes."""

    def __init__(self) -> None:
        self.ended = self.cancelled = 0
        router = EitherSlashRouter()
        router.add_api_route("/slow", self.slow)
        router.add_api_route("/quick", self.quick)
        router.add_api_route("/begun", self.begun)
        router.add_api_route("/broken", self.broken)
        router.add_api_route("/form", self.form, methods=["POST"])
        api = create_api("image-search", [router], lifespan=_nothing, docs=False)
        options = MiddlewareOptions(
            service="image-search",
            present_keys=lambda: [KEY],
            max_image_bytes={"/form": 100},
            receive_timeout_s=TIMEOUT_S / 3,
            request_timeout_s=TIMEOUT_S,
        )
        self.app = with_middleware(api, lambda: options)

    async def slow(self) -> None:
        try:
            await asyncio.sleep(60)
            self.ended += 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def quick(self) -> dict[str, float]:
        return {"seconds_left": deadline_within(1000) - time.monotonic()}

    async def broken(self) -> None:
        raise TimeoutError

    async def begun(self) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one part"
            await self.slow()

        return StreamingResponse(parts())

    async def form(self) -> None:
        """Takes no body."""


@contextlib.asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
async def client(handlers: Handlers) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=handlers.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=HEADERS) as client:
        yield client


async def test_a_request_past_its_deadline_is_cancelled_and_answered_in_the_shape_of_every_error(
    client: httpx.AsyncClient, handlers: Handlers
) -> None:
    response = await client.get("/slow", headers={"X-Request-Id": "the-slow-one"})
    body = response.json()
    assert (response.status_code, body["error"], body["request_id"]) == (504, "timed_out", "the-slow-one")
    assert body["details"] == {"timeout_s": TIMEOUT_S}
    assert response.headers["x-request-id"] == "the-slow-one"
    assert response.headers["cache-control"] == "no-store"
    assert (handlers.ended, handlers.cancelled) == (0, 1)


async def test_a_handler_can_read_the_deadline_of_its_request(client: httpx.AsyncClient) -> None:
    assert 0 < (await client.get("/quick")).json()["seconds_left"] <= TIMEOUT_S


async def test_a_timeout_inside_a_handler_is_a_bug_and_not_the_deadline(client: httpx.AsyncClient) -> None:
    response = await client.get("/broken")
    assert (response.status_code, response.json()["error"]) == (500, "internal_error")


async def test_each_request_has_its_own_deadline(client: httpx.AsyncClient) -> None:
    slow = asyncio.create_task(client.get("/slow"))
    await asyncio.sleep(TIMEOUT_S / 2)
    later = asyncio.create_task(client.get("/slow"))
    await slow
    assert not later.done()
    assert (await client.get("/quick")).status_code == 200
    assert (await later).status_code == 504


async def test_a_response_that_has_begun_is_aborted_and_its_connection_closed(
    handlers: Handlers, request_log: io.StringIO
) -> None:
    server = uvicorn.Server(uvicorn.Config(handlers.app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=HEADERS) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/begun")
    server.should_exit = True
    await serving
    assert handlers.cancelled == 1
    (line,) = map(json.loads, request_log.getvalue().splitlines())
    assert (line["level"], line["status"], line["error"]) == ("warning", 200, "timed_out")


@pytest.mark.parametrize("slow_s", [0.5])
async def test_a_write_in_progress_at_the_deadline_is_finished_and_a_repeat_does_not_wait(
    environment: Callable[..., Settings],
    extraction: Extraction,
    astronaut: bytes,
    selfie: bytes,
    monkeypatch: pytest.MonkeyPatch,
    slow_s: float,
) -> None:
    """The lease is one minute: if it were not released, the repeat would time out as well."""
    settings = environment(request_timeout_s=2.5, receive_timeout_s=1, lease_s=60)
    save, saved = MilvusVectorStore.save_faces, 0

    async def slowly(self: MilvusVectorStore, faces: Any) -> None:
        nonlocal saved
        await asyncio.sleep(2.5 + slow_s)
        await save(self, faces)
        saved += 1

    async with serving_in_process(settings, extraction) as client:
        api = Api(client)
        face = (await api.detect(astronaut)).json()["faces"][0]["face_id"]
        with monkeypatch.context() as patch:
            patch.setattr(MilvusVectorStore, "save_faces", slowly)
            late = await api.add(face_id=face)
        assert (late.status_code, late.json()["error"], saved) == (504, "timed_out", 1)
        again = await api.add(face_id=face)
        assert (again.status_code, again.json()["status"]) == (200, "indexed")
        assert (await api.search(selfie)).json()["count"] == 1


def test_a_body_may_not_take_longer_than_the_whole_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVE_TIMEOUT_S", "60")
    with pytest.raises(SettingsError, match="REQUEST_TIMEOUT_S"):
        load_settings("image-search")
