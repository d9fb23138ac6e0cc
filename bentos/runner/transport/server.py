"""The server of the socket transport: answers requests in a runner process, one frame in, one frame out.

Every runner process listens on its own socket, beside the socket that BentoML makes all of them share, so that the
caller can choose the least busy process. On the shared socket a connection stays with the process that accepted it: one
process was seen with all of eight connections, while the other was idle.

The kind of a request is the index of its method in `METHODS`; the kind of an answer is an HTTP status. A connection
carries one request at a time; when the caller closes it before the answer, the answer is no longer wanted.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from bentoml.exceptions import BentoMLException

from bentos.pipeline.methods import METHODS, Method
from bentos.runner.codec import ticket_of
from bentos.runner.fixed_batches import LATER, FixedBatches
from bentos.runner.transport.bentoml_inside import BatchInfer, batching_of
from bentos.runner.transport.callers import Callers
from bentos.runner.transport.exclusive import Exclusive
from bentos.runner.transport.frames import BUFFER, PING, Frame, read_frame, write_frame
from bentos.runner.transport.turns import Turns

logger = logging.getLogger(__name__)

_BACKLOG = 2048
"""The same as BentoML's own limit: further connections at the same time are refused."""
Work = Callable[[str, bytes], Awaitable[bytes]]


async def listen(
    runner: Any, socket: Path, callers: Callers, *, batched: bool, batches: FixedBatches | None = None
) -> asyncio.Server:
    """Answer requests on `socket`, as long as the returned server is kept; `callers` tracks who waits for each request.

    `batched`: BentoML combines waiting requests, and checks every millisecond whether the last batch is done; that pays
    on a GPU. Otherwise each request goes directly to the thread that works (see `Turns`). `batches`: decodes requests
    before they are combined, where the networks run over batches of fixed shapes; unless `batched`, its own loop
    combines those of this process.
    """
    if batches is not None:
        work = _in_fixed_batches(runner, batches, put_together=_in_batches(runner) if batched else None)
    else:
        work = _in_batches(runner) if batched else _one_by_one(runner)
    converse = functools.partial(_converse, work, callers)
    return await asyncio.start_unix_server(converse, socket, limit=BUFFER, backlog=_BACKLOG)


async def _converse(work: Work, callers: Callers, reader: StreamReader, writer: StreamWriter) -> None:
    """Answer the requests of one connection, one after the other, until the connection ends."""
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


def _in_fixed_batches(runner: Any, batches: FixedBatches, *, put_together: Work | None) -> Work:
    """Requests are decoded when they arrive, then `put_together` in batches, if given. Slow ones leave their batch."""
    alone = _one_by_one(runner)
    requests = Exclusive()

    async def work(method: str, request: bytes) -> bytes:
        if ticket_of(request).alone:
            async with requests.alone():
                return await alone(method, request)
        async with requests.together():
            with batches.prepared(cast("Method", method), request) as prepared:
                await asyncio.wrap_future(prepared.prepared)
                payload = LATER
                if put_together is None:
                    batches.enter(prepared)
                elif not prepared.answer.done():
                    payload = await put_together(method, request)
                if payload == LATER:
                    await asyncio.wrap_future(prepared.answer)
                    payload = batches.answer(prepared)
                return payload

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
