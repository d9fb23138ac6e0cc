"""The runner's end of the socket transport: answers requests in a runner process, one frame in, one out.

Every runner process listens on a socket of its own beside the one that BentoML lets them share, so that the caller can
give an image to the one with the least to do. Over the shared socket a connection stays with the process that took it:
one process was seen with all of eight connections, the other idle.

The kind of a request is the index of its method in `METHODS`, that of an answer an HTTP status. A connection carries
one request at a time; when the caller closes it before the answer, the answer is not wanted any more.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from bentoml.exceptions import BentoMLException

from bentos.runner.codec import ticket_of
from bentos.runner.transport.base import METHODS
from bentos.runner.transport.bentoml_inside import BatchInfer, batching_of
from bentos.runner.transport.callers import Callers
from bentos.runner.transport.frames import BUFFER, PING, Frame, read_frame, write_frame
from bentos.runner.transport.turns import Turns

logger = logging.getLogger(__name__)

_BACKLOG = 2048
"""As many as BentoML's own: more connections than that at once are refused."""
Work = Callable[[str, bytes], Awaitable[bytes]]


async def listen(runner: Any, socket: Path, callers: Callers, *, batched: bool) -> asyncio.Server:
    """Answer requests on `socket`, as long as what is returned is kept; `callers` knows who waits for which.

    `batched`: requests that wait are put together by BentoML, which looks every millisecond whether the last batch is
    done; that pays on a GPU. Else each goes straight to the thread that works (see `Turns`).
    """
    work = _in_batches(runner) if batched else _one_by_one(runner)
    converse = functools.partial(_converse, work, callers)
    return await asyncio.start_unix_server(converse, socket, limit=BUFFER, backlog=_BACKLOG)


async def _converse(work: Work, callers: Callers, reader: StreamReader, writer: StreamWriter) -> None:
    """Answer what one connection asks, one request after the other, until it ends."""
    try:
        while True:
            request = await read_frame(reader)
            if request.kind == PING:
                answer = request
            else:
                with callers.waiting(ticket_of(request.body), reader):
                    answer = await _answer(work, request)
            await write_frame(writer, answer)
    except (EOFError, ConnectionError, asyncio.CancelledError):
        pass  # the caller is gone, or gave up on its request, or this process ends
    finally:
        writer.close()


async def _answer(work: Work, request: Frame) -> Frame:
    try:
        return Frame(HTTPStatus.OK, await work(METHODS[request.kind], request.body))
    except BentoMLException as error:
        return Frame(error.error_code, b"")
    except Exception:
        logger.exception("the runner failed")
        return Frame(HTTPStatus.INTERNAL_SERVER_ERROR, b"")


def _one_by_one(runner: Any) -> Work:
    turns = Turns()

    def alone(method: str, request: bytes) -> bytes:
        [payload] = getattr(runner, method).local([request])
        return bytes(payload)

    async def work(method: str, request: bytes) -> bytes:
        return await turns.run(functools.partial(alone, method, request), size=len(request))

    return work


def _in_batches(runner: Any) -> Work:
    alone = _one_by_one(runner)
    batch_infer: BatchInfer | None = None

    async def work(method: str, request: bytes) -> bytes:
        nonlocal batch_infer
        if ticket_of(request).alone:
            return await alone(method, request)
        batch_infer = batch_infer or batching_of(runner.to_async.app)  # set after the runner has started
        [payload] = await batch_infer(method, ([request],), {})
        return bytes(payload)

    return work
