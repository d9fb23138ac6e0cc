"""Tests client and server of the runner over real sockets, around a fake runner that does not use the models."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import quote

import pytest
from bentoml.exceptions import ServiceUnavailable

from bentos.domain.deadline import begin_deadline
from bentos.domain.errors import DependencyUnavailable, Overloaded
from bentos.domain.faces import FacesInImage
from bentos.pipeline.methods import METHODS
from bentos.pipeline.wanted import Dropped
from bentos.runner.client import RunnerClient
from bentos.runner.codec import Timing, decode_request, encode_error, encode_faces, ticket_of, with_timing
from bentos.runner.transport.base import SERVICE
from bentos.runner.transport.bentoml_inside import own_socket
from bentos.runner.transport.callers import Callers
from bentos.runner.transport.server import listen
from bentos.runner.transport.sockets import SocketTransport

LARGE = bytes(range(256)) * 80_000
NO_TIME = Timing(0, 0, 0, 0, 0)


class Method:
    """Answers with one image size: its width is the number of bytes of the request's image."""

    def __init__(self, runner: FakeRunner) -> None:
        self._runner = runner

    def local(self, requests: list[bytes]) -> list[bytes]:
        (request,) = requests
        image = decode_request(request).image
        if not self._runner.callers.wait_for(ticket_of(request)):
            self._runner.dropped.append(image)
            return [with_timing(NO_TIME, encode_error(Dropped()))]
        if image == b"full":
            raise ServiceUnavailable("the batch is late")
        if image == b"broken":
            raise ZeroDivisionError
        if image == b"slow":
            self._runner.waits.result(10)
        self._runner.seen.append(image)
        return [with_timing(NO_TIME, encode_faces(FacesInImage(len(image), 1, ())))]


class FakeRunner:
    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.dropped: list[bytes] = []
        self.callers = Callers()
        self.waits: Future[None] = Future()
        for name in METHODS:
            setattr(self, name, Method(self))


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
async def client(
    runner: FakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunnerClient]:
    shared = tmp_path / "runner.sock"
    monkeypatch.setenv("BENTOML_RUNNER_MAP", json.dumps({SERVICE: f"unix://{quote(str(shared))}"}))
    client = RunnerClient(SocketTransport(shared), queue=10, timeout_s=5)
    async with await listen(runner, own_socket(), runner.callers, batched=False):
        yield client
        await client.close()


async def test_a_large_image_arrives_completely(client: RunnerClient, runner: FakeRunner) -> None:
    assert (await client.detect(LARGE)).width == len(LARGE)
    assert runner.seen == [LARGE]


async def test_images_of_one_size_are_processed_in_order_of_arrival(
    client: RunnerClient, runner: FakeRunner
) -> None:
    images = [b"slow", *(bytes([number]) for number in range(9))]
    asked = []
    for image in images:
        asked.append(asyncio.create_task(client.detect_and_embed(image)))
        await asyncio.sleep(0.02)
    assert runner.seen == []
    runner.waits.set_result(None)
    assert [found.width for found in await asyncio.gather(*asked)] == [len(image) for image in images]
    assert runner.seen == images


async def test_a_small_image_overtakes_large_images_that_arrived_just_before(
    client: RunnerClient, runner: FakeRunner
) -> None:
    large = [bytes([number]) * 1_000_000 for number in range(3)]
    asked = []
    for image in (b"slow", *large, b"small"):
        asked.append(asyncio.create_task(client.detect(image)))
        await asyncio.sleep(0.05)
    runner.waits.set_result(None)
    await asyncio.gather(*asked)
    assert runner.seen == [b"slow", b"small", *large]


async def test_a_failure_is_reported_and_the_next_image_is_processed(client: RunnerClient) -> None:
    with pytest.raises(DependencyUnavailable, match="500"):
        await client.detect(b"broken")
    with pytest.raises(Overloaded):
        await client.detect(b"full")
    assert (await client.detect(b"next")).width == len(b"next")


async def test_a_caller_that_gives_up_does_not_affect_the_answers_of_others(
    client: RunnerClient, runner: FakeRunner
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.detect(b"slow")
    started = time.monotonic()
    next_ones = [asyncio.create_task(client.detect(b"x" * number)) for number in (3, 4)]
    await asyncio.sleep(0.1)
    runner.waits.set_result(None)
    assert [found.width for found in await asyncio.gather(*next_ones)] == [3, 4]
    assert time.monotonic() - started < 5


async def test_images_whose_callers_have_gone_are_dropped_before_the_work_begins(
    client: RunnerClient, runner: FakeRunner
) -> None:
    first = asyncio.create_task(client.detect(b"slow"))
    await asyncio.sleep(0.05)
    gone = [asyncio.create_task(client.detect(bytes([number]))) for number in range(9)]
    await asyncio.sleep(0.1)
    for task in gone:
        task.cancel()
    await asyncio.sleep(0.05)
    assert client.is_full  # the runner still has them
    runner.waits.set_result(None)
    await first
    assert (await client.detect(b"next")).width == len(b"next")
    assert runner.seen == [b"slow", b"next"]
    assert len(runner.dropped) == 9
    assert not client.is_full


async def test_a_request_whose_deadline_has_passed_is_dropped(
    client: RunnerClient, runner: FakeRunner
) -> None:
    first = asyncio.create_task(client.detect(b"slow"))
    await asyncio.sleep(0.05)

    async def with_little_time() -> None:
        begin_deadline(0.1)
        await client.detect(b"late")

    late = asyncio.create_task(with_little_time())
    await asyncio.sleep(0.2)
    runner.waits.set_result(None)
    await first
    with pytest.raises(DependencyUnavailable, match="in time"):
        await late
    assert runner.dropped == [b"late"]
