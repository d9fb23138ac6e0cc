"""Tests of the processes that find faces for a command."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.errors import InternalError, InvalidImageFormat
from bentos.domain.faces import FacesInImage
from bentos.jobs.face_pool import FacePool, PoolBroken
from tests.unit.jobs.deadly import work


@pytest_asyncio.fixture
async def pool(pack_folder: Path) -> AsyncIterator[FacePool]:
    pool = FacePool(pack_folder, Settings(), processes=1)
    yield pool
    await pool.close()


async def test_it_finds_and_embeds_faces_as_the_runner_does(pool: FacePool, extraction) -> None:
    image = photos.group_photo().read_bytes()
    found = await pool.detect_and_embed(image)
    here = extraction.detect_and_embed([image])[0]
    assert [face.bbox for face in found.faces] == [face.bbox for face in here.faces]
    (embedding,) = await pool.embed(image, [found.faces[0].landmarks])
    assert embedding is not None
    assert embedding @ here.faces[0].embedding > 0.99
    with pytest.raises(InvalidImageFormat):
        await pool.detect(b"no image")


async def test_an_image_that_ends_a_process_is_refused_and_the_others_are_not_affected(
    pool: FacePool,
) -> None:
    images = [b"kill 1", b"four", b"kill 22"]
    found = await asyncio.gather(*[pool._found(work, image) for image in images], return_exceptions=True)
    assert [each.width if isinstance(each, FacesInImage) else type(each) for each in found] == [
        InternalError,
        4,
        InternalError,
    ]
    await pool.check()


async def test_a_signal_of_the_terminal_does_not_end_a_process_that_starts(pool: FacePool) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    starting = asyncio.create_task(pool.check())
    while not (started := multiprocessing.active_children()):
        await asyncio.sleep(0)
    for process in started:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid or 0, number)
    await starting
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


async def test_a_pool_whose_processes_cannot_start_says_so(tmp_path: Path) -> None:
    pool = FacePool(tmp_path / "no pack", Settings(), processes=1)
    with pytest.raises(PoolBroken, match="while it started"):
        await pool.check()
    with pytest.raises(PoolBroken):
        await pool.detect(b"image")
    await pool.close()
