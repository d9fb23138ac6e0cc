"""A fake runner process for tests of the client: real sockets, with answers that the test sets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bentos.domain.faces import FacesInImage
from bentos.runner.client import RunnerClient
from bentos.runner.codec import Timing, encode_faces, with_timing
from bentos.runner.transport.frames import PING, read_frame, write_frame
from bentos.runner.transport.sockets import SocketTransport

NOBODY = FacesInImage(width=4, height=3, faces=())
ANSWER = with_timing(Timing(0, 0, 0, 0, 0), encode_faces(NOBODY))
BREAKS = None


def frame(status: int, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HI", status, length or len(body)) + body


@asynccontextmanager
async def process(
    shared: Path, number: int, answers: list[bytes | None], *, answers_pings: bool = True
) -> AsyncIterator[list[bytes]]:
    """A process that gives these answers, one for each request; None closes the connection. Yields the requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await read_frame(reader):
                if request.kind == PING:
                    if answers_pings:
                        await write_frame(writer, request)
                    continue
                requests.append(request.body)
                if not answers:
                    await reader.read()
                answer = answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, IndexError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_unix_server(serve, f"{shared}.{number}"):
        yield requests


@asynccontextmanager
async def client_of(shared: Path, queue: int = 4, timeout_s: float = 5.0) -> AsyncIterator[RunnerClient]:
    client = RunnerClient(SocketTransport(shared), queue=queue, timeout_s=timeout_s)
    yield client
    await client.close()
