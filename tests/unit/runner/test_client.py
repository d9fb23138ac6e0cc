"""The client of the runner over a real socket: when connections break, when the runner is busy or silent."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bentos.domain.errors import DependencyUnavailable, Overloaded
from bentos.domain.faces import FacesInImage
from bentos.runner.client import RunnerClient
from bentos.runner.codec import Timing, encode_faces, with_timing
from bentos.runner.transport.frames import read_frame

NOBODY = FacesInImage(width=4, height=3, faces=())
ANSWER = with_timing(Timing(0, 0, 0, 0, 0), encode_faces(NOBODY))
BREAKS = None


def _frame(status: int, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HI", status, length or len(body)) + body


@asynccontextmanager
async def process(shared: Path, number: int, answers: list[bytes | None]) -> AsyncIterator[None]:
    """A process of the runner that gives these answers, one to a request; None closes the connection instead."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await read_frame(reader):
                if not answers:
                    await reader.read()
                answer = answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_unix_server(serve, f"{shared}.{number}"):
        yield


@asynccontextmanager
async def client_of(shared: Path, queue: int = 4, timeout_s: float = 5.0) -> AsyncIterator[RunnerClient]:
    client = RunnerClient(shared, queue=queue, timeout_s=timeout_s)
    yield client
    await client.close()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "runner.sock"


async def test_a_call_whose_connection_breaks_is_made_again(shared: Path) -> None:
    answers: list[bytes | None] = [BREAKS, BREAKS, _frame(200, ANSWER)]
    async with process(shared, 1, answers), client_of(shared) as client:
        assert await client.detect(b"image") == NOBODY
    assert answers == []


async def test_another_process_takes_the_call_of_one_that_was_killed(shared: Path) -> None:
    async with process(shared, 1, []):
        killed = Path(f"{shared}.1").rename(f"{shared}.0")
    assert killed.is_socket()
    async with process(shared, 2, [_frame(200, ANSWER)]), client_of(shared) as client:
        assert await client.detect(b"image") == NOBODY
    assert not killed.exists()


async def test_a_process_that_is_started_anew_is_found(shared: Path) -> None:
    async with client_of(shared) as client:
        asked = asyncio.create_task(client.detect(b"image"))
        await asyncio.sleep(0.2)
        async with process(shared, 7, [_frame(200, ANSWER)]):
            assert await asked == NOBODY


async def test_an_image_goes_to_the_process_with_the_least_to_do(shared: Path) -> None:
    left: list[bytes | None] = [_frame(200, ANSWER), _frame(200, ANSWER)]
    async with process(shared, 1, []), process(shared, 2, left), client_of(shared, timeout_s=1) as client:
        waiting = [asyncio.create_task(client.detect(b"image")) for _ in range(2)]
        done, stuck = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [NOBODY]
        assert await client.detect(b"another") == NOBODY
        with pytest.raises(DependencyUnavailable, match="in time"):
            await stuck.pop()


@pytest.mark.parametrize(
    "broken", [[BREAKS] * 9, [_frame(200, ANSWER[:5], len(ANSWER)), BREAKS], [_frame(500)]]
)
async def test_a_runner_that_gives_no_answer_is_unavailable(shared: Path, broken: list[bytes | None]) -> None:
    async with process(shared, 1, broken), client_of(shared, timeout_s=3) as client:
        with pytest.raises(DependencyUnavailable) as raised:
            await client.detect(b"image")
    assert raised.value.details["dependency"] == "runner"


async def test_a_runner_that_is_not_there_is_unavailable(shared: Path) -> None:
    async with client_of(shared, timeout_s=0.5) as client:
        with pytest.raises(DependencyUnavailable, match="in time"):
            await client.detect(b"image")


async def test_a_runner_with_too_many_images_is_overloaded(shared: Path) -> None:
    async with process(shared, 1, [_frame(503)]), client_of(shared) as client:
        with pytest.raises(Overloaded):
            await client.detect(b"image")


async def test_one_image_more_than_the_queue_holds_is_refused_at_once(shared: Path) -> None:
    async with process(shared, 1, []), client_of(shared, queue=1, timeout_s=1) as client:
        waiting = asyncio.create_task(client.detect(b"image"))
        await asyncio.sleep(0.1)
        assert client.is_full
        with pytest.raises(Overloaded):
            await client.detect(b"another")
        with pytest.raises(DependencyUnavailable, match="in time"):
            await waiting
