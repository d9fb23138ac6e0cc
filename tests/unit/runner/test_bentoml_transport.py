"""Tests the transport over BentoML's client: how its errors are converted, and requests whose caller has gone.

`tests/system/test_transports.py` runs the real client and server; here the calls are made to fail.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp
import pytest
from bentoml.exceptions import BentoMLException

from bentos.domain.errors import DependencyUnavailable, Overloaded
from bentos.runner.client import RunnerClient
from bentos.runner.transport.bentoml_client import BentoMLTransport
from tests.unit.runner.fake_process import ANSWER, NOBODY


class Calls:
    """Replaces the client's method: each call takes the next outcome, an error or an answer."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.made = 0
        self.goes_on = asyncio.Event()

    async def __call__(self, _requests: list[bytes]) -> list[bytes]:
        self.made += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "waits":
            await self.goes_on.wait()
        return [ANSWER]


def client_of(calls: Calls, *, queue: int = 4) -> RunnerClient:
    transport = BentoMLTransport(SimpleNamespace(to_async=SimpleNamespace(detect=calls)), processes=2)
    return RunnerClient(transport, queue=queue, timeout_s=2)


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        (HTTPStatus.SERVICE_UNAVAILABLE, Overloaded, None),
        (HTTPStatus.GATEWAY_TIMEOUT, DependencyUnavailable, "in time"),
        (HTTPStatus.INTERNAL_SERVER_ERROR, DependencyUnavailable, "status 500"),
    ],
)
async def test_an_error_of_the_runner_is_named(
    status: HTTPStatus, expected: type[Exception], reason: str | None
) -> None:
    with pytest.raises(expected, match=reason):
        await client_of(Calls(BentoMLException("?", error_code=status))).detect(b"image")


async def test_a_connection_that_breaks_once_is_tried_again() -> None:
    calls = Calls(aiohttp.ServerDisconnectedError(), "answers")
    assert await client_of(calls).detect(b"image") == NOBODY
    assert calls.made == 2


async def test_a_request_whose_process_ends_twice_fails_as_unavailable() -> None:
    calls = Calls(aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(), "answers")
    with pytest.raises(DependencyUnavailable, match="its processes ended"):
        await client_of(calls).detect(b"image")
    assert calls.made == 2


async def test_a_request_whose_caller_has_gone_counts_until_the_runner_has_answered() -> None:
    calls = Calls("waits", "answers")
    client = client_of(calls, queue=1)
    asked = asyncio.create_task(client.detect(b"image"))
    await asyncio.sleep(0.01)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert client.is_full
    with pytest.raises(Overloaded):
        await client.detect(b"another")
    calls.goes_on.set()
    await asyncio.sleep(0.01)
    assert not client.is_full
    assert await client.detect(b"another") == NOBODY
