"""Finds and embeds faces in separate processes, one for each CPU."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

from bentos.config.settings import Settings
from bentos.domain.errors import FaceSearchError, InternalError
from bentos.domain.faces import FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.methods import Method
from bentos.pipeline.wanted import always_wanted
from bentos.runner.codec import Request, asked_of
from bentos.runner.finder import FinderByMethod
from bentos.runner.local import extraction_of

T = TypeVar("T")
Found = FacesInImage | FaceSearchError


class PoolBroken(Exception):
    """No process of the pool can start; the message says what to do."""


class FacePool(FinderByMethod):
    """A `FaceFinder` over `processes` processes, each with the face pack in `folder`.

    When a process ends unexpectedly, the images that were in the pool are tried again, one at a time, in a process of
    their own. The image that ends that process too is refused with `InternalError`; the others are not affected.
    Every method also raises `PoolBroken`.
    """

    def __init__(self, folder: Path, settings: Settings, *, processes: int) -> None:
        self._start = (folder, settings)
        self._processes = processes
        self._pool = self._new_pool(processes)
        self._one_alone = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """See `FaceFinder`."""
        return False

    async def check(self) -> None:
        """See `FaceFinder`. Returns when a process has started. Raises `PoolBroken`."""
        await self._started(self._pool)

    async def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)

    def _new_pool(self, processes: int) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin, initargs=self._start)

    async def _ask(self, method: Method, request: Request) -> FacesInImage:
        return await self._found(_work, method, request)

    async def _found(self, work: Callable[..., Found], *asked: object) -> FacesInImage:
        pool = self._pool
        try:
            found = await _in_pool(pool, work, *asked)
        except BrokenProcessPool:
            if self._pool is pool:  # the first of several callers that fail together
                self._pool = self._new_pool(self._processes)
                pool.shutdown(wait=False)
            found = await self._found_alone(work, *asked)
        if isinstance(found, FaceSearchError):
            raise found
        return found

    async def _found_alone(self, work: Callable[..., Found], *asked: object) -> Found:
        async with self._one_alone:
            alone = self._new_pool(1)
            try:
                await self._started(alone)
                return await _in_pool(alone, work, *asked)
            except BrokenProcessPool:
                return InternalError()
            finally:
                alone.shutdown(wait=False)

    async def _started(self, pool: ProcessPoolExecutor) -> None:
        """Return when a process has started."""
        try:
            await _in_pool(pool, _ready)
        except BrokenProcessPool as error:
            raise PoolBroken(
                "A process that finds faces ended while it started; if it ran out of memory, set --processes lower."
            ) from error


def _in_pool(pool: ProcessPoolExecutor, work: Callable[..., T], *asked: object) -> asyncio.Future[T]:
    """Hand work over, for which the pool may start a process.

    A new process takes over which signals are blocked, so that Ctrl-C, which a terminal sends to all processes, does
    not end it before `_begin` can ignore it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        return asyncio.get_running_loop().run_in_executor(pool, partial(work, *asked))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM)
_extraction: Extraction | None = None


def _begin(folder: Path, settings: Settings) -> None:
    """Prepare a process of the pool. It ignores signals of a terminal or a cluster, which are for its parent."""
    global _extraction  # noqa: PLW0603 - the one value of a process of the pool
    for number in _FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _extraction = extraction_of(folder, settings)


def _end_with_the_parent() -> None:
    """End this process with its parent: a parent that is killed closes nothing, and the pool would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _ready() -> None:
    assert _extraction is not None  # noqa: S101 - the initializer has set it


def _work(method: Method, request: Request) -> Found:
    assert _extraction is not None  # noqa: S101 - the initializer has set it
    return _extraction.run(method, [asked_of(method, request)], always_wanted)[0]
