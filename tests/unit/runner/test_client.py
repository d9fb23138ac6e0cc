"""The client of the runner over a real socket: when connections break, when the runner is busy or silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bentos.common.errors import DependencyUnavailable, Overloaded
from bentos.common.faces import FacesInImage
from bentos.runner.client import RunnerClient
from bentos.runner.wire import Timing, encode_faces, with_timing

NOBODY = FacesInImage(width=4, height=3, faces=())
ANSWER = with_timing(Timing(0, 0, 0, 0, 0), encode_faces(NOBODY))
BREAKS = None


def _http(status: int, body: bytes = b"", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status} x\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def runner(folder: Path, answers: list[bytes | None], **options: float) -> AsyncIterator[RunnerClient]:
    """A client of a server that gives these answers, one to a request; None closes the connection instead."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if not answers:
                    await reader.read()
                answer = answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await reader.read(65536)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    address = folder / "runner.sock"
    server = await asyncio.start_unix_server(serve, address)
    client = RunnerClient(address.as_uri(), **{"queue": 4, "timeout_s": 5.0, **options})  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def test_a_call_whose_connection_breaks_is_made_again(tmp_path: Path) -> None:
    answers: list[bytes | None] = [BREAKS, BREAKS, _http(200, ANSWER)]
    async with runner(tmp_path, answers) as client:
        assert await client.detect(b"image") == NOBODY
    assert answers == []


@pytest.mark.parametrize(
    "broken", [[BREAKS] * 9, [_http(200, ANSWER[:5], len(ANSWER)), BREAKS], [_http(500)]]
)
async def test_a_runner_that_gives_no_answer_is_unavailable(
    tmp_path: Path, broken: list[bytes | None]
) -> None:
    async with runner(tmp_path, broken, timeout_s=1.0) as client:
        with pytest.raises(DependencyUnavailable) as raised:
            await client.detect(b"image")
    assert raised.value.details["dependency"] == "runner"


async def test_a_runner_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    client = RunnerClient((tmp_path / "nobody.sock").as_uri(), queue=4, timeout_s=5)
    with pytest.raises(DependencyUnavailable):
        await client.detect(b"image")
    await client.close()


async def test_a_runner_with_too_many_images_is_overloaded(tmp_path: Path) -> None:
    async with runner(tmp_path, [_http(503)]) as client:
        with pytest.raises(Overloaded):
            await client.detect(b"image")


async def test_one_image_more_than_the_queue_holds_is_refused_at_once(tmp_path: Path) -> None:
    async with runner(tmp_path, [], queue=1, timeout_s=1.0) as client:
        waiting = asyncio.create_task(client.detect(b"image"))
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded):
            await client.detect(b"another")
        with pytest.raises(DependencyUnavailable, match="in time"):
            await waiting
