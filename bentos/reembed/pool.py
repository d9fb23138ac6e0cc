"""Embeds faces in separate processes, one for each CPU."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

from bentos.config.settings import Settings
from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import Embedding, FacesInImage, Landmarks
from bentos.pipeline.extraction import Extraction
from bentos.runner.local import extraction_of


class PoolBroken(Exception):
    """A process of the pool ended unexpectedly; the message says what to do."""


class EmbeddingPool:
    """An `Embedder` over `processes` processes, each with the face pack in `folder`."""

    def __init__(self, folder: Path, settings: Settings, *, processes: int) -> None:
        self._pool = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(folder, settings),
        )

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """See `FaceFinder`. Also raises `PoolBroken`."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._pool, _embed, image, tuple(landmarks))
        except BrokenProcessPool as error:
            raise PoolBroken(
                "A process that embeds faces ended by itself; if it ran out of memory, set --processes lower."
            ) from error
        if isinstance(found, FaceSearchError):
            raise found
        return [face.embedding for face in found.faces]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


_extraction: Extraction | None = None


def _start(folder: Path, settings: Settings) -> None:
    """Prepare a process of the pool. It ignores signals of a terminal or a cluster, which are for its parent."""
    global _extraction  # noqa: PLW0603 - the one value of a process of the pool
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _extraction = extraction_of(folder, settings)


def _end_with_the_parent() -> None:
    """End this process with its parent: a parent that is killed closes nothing, and the pool would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _embed(image: bytes, landmarks: tuple[Landmarks, ...]) -> FacesInImage | FaceSearchError:
    assert _extraction is not None  # noqa: S101 - the initializer has set it
    return _extraction.embed([(image, landmarks)])[0]
