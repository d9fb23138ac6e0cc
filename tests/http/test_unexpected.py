"""Tests that a bug gives an error response in the usual shape, without the traceback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI

from bentos.http.api import EitherSlashRouter, create_api
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.middleware.stack import with_middleware

KEY = "0123456789abcdef-key-of-the-tests"


@contextlib.asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


async def test_a_bug_gives_500_in_the_shape_of_every_error() -> None:
    router = EitherSlashRouter()

    @router.get("/search")
    async def search() -> None:
        raise ZeroDivisionError("secret")

    api = create_api("image-search", [router], lifespan=nothing, docs=False)
    app = with_middleware(api, lambda: MiddlewareOptions(service="image-search", present_keys=lambda: [KEY]))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"X-Api-Key": KEY}
    ) as client:
        response = await client.get("/search")
    assert response.status_code == 500
    assert response.json()["error"] == "internal_error"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    assert "secret" not in response.text
