"""Puts made photos into the image store, where `bentos.bulk` indexes them; a repetition makes what is missing."""

from __future__ import annotations

import asyncio
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Literal

from tqdm import tqdm

from bentos.config.settings import Settings
from bentos.stores.base import ImageStore
from bentos.stores.factory import image_store
from seed.face_images import group, photo

Kind = Literal["photo", "group"]
_AT_ONCE = 8


def made_ids(name: str, count: int) -> list[str]:
    """The ids of the made photos of a collection."""
    return [f"{name}-{index:06d}" for index in range(count)]


async def store_made(
    name: str, count: int, settings: Settings, *, processes: int, kind: Kind = "photo"
) -> list[str]:
    """Store the photos `made_ids(name, count)` and return their ids. Raises `DependencyUnavailable`.

    `kind`: one to three people, or a group of 1 to 12.
    """
    images = image_store(settings)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as makers:
        try:
            await images.open()
            there = {found async for names in images.scan_names(f"{name}-") for found in names}
            ids = made_ids(name, count)
            missing = [index for index, photo_id in enumerate(ids) if photo_id not in there]
            await _store(missing, ids, images, makers, kind=kind, seed=zlib.crc32(name.encode()))
        finally:
            await images.close()
    return ids


async def _store(
    missing: Sequence[int],
    ids: Sequence[str],
    images: ImageStore,
    makers: ProcessPoolExecutor,
    *,
    kind: Kind,
    seed: int,
) -> None:
    make: Callable[[int, int], bytes] = _photo if kind == "photo" else _group
    left: Iterator[int] = iter(missing)
    with tqdm(total=len(missing), desc="making photos", unit="photo", leave=False, disable=None) as progress:

        async def lane() -> None:
            for index in left:
                jpeg = await asyncio.get_running_loop().run_in_executor(makers, make, index, seed)
                await images.put(ids[index], jpeg, "image/jpeg")
                progress.update()

        async with asyncio.TaskGroup() as group_of_lanes:
            for _ in range(_AT_ONCE):
                group_of_lanes.create_task(lane())


def _photo(index: int, seed: int) -> bytes:
    return photo(index, seed=seed).jpeg


def _group(index: int, seed: int) -> bytes:
    return group(index, seed=seed).jpeg
