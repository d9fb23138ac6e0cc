"""Starts everything for a measurement on this machine: a real Milvus server with faces, and image-search."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.settings_of import settings_of
from bench.vector_base import face_embeddings, fill, neighbours, settle, strangers
from bentos.demo.process import serving
from bentos.demo.servers.milvus import milvus_server
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import extraction_of
from bentos.serving.scheduling import use_batch_scheduling
from bentos.stores.factory import vector_store

SERVICE = "bentos.search.service:ImageSearch"
COLLECTIONS = ("made-a", "made-b")
_EMBEDDED_IMAGES = 100
_NEIGHBOURS_AT_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Rig:
    """A running image-search: its URL, its key and its collections."""

    url: str
    api_key: str
    environment: Mapping[str, str]


@contextmanager
def rig(folder: Path, *, photos: int, indexed: bool, settings: Mapping[str, str]) -> Iterator[Rig]:
    """Start everything with its data in `folder` and `photos` photos in each collection; stop everything at the end.

    `indexed`: real photos are indexed, which takes long; else vectors are filled in (see `vector_base`).
    `settings` are environment variables of the service.
    """
    use_batch_scheduling()  # inherited by the processes started here: Milvus and the load generator
    with milvus_server(folder / "milvus") as uri:
        environment = {
            "API_KEY": secrets.token_hex(24),
            "MILVUS_URI": uri,
            "POSTGREST_URL": f"sqlite:///{folder / 'metadata.db'}",
            "S3_ENDPOINT_URL": f"file://{folder / 'images'}",
            **settings,
        }
        if indexed:
            _index(photos, environment)
        else:
            asyncio.run(_fill(2 * photos, environment))
        with serving(SERVICE, environment, log=folder / "service.log") as service:
            yield Rig(service.url, environment["API_KEY"], environment)


async def _fill(count: int, environment: Mapping[str, str]) -> None:
    """Up to ten thousand faces of the people in the selfies; the rest are random vectors, as of other people."""
    settings = settings_of(environment)
    folder = face_pack_folder(settings.face_pack)
    store = vector_store(settings, PackInfo.read(folder))
    await store.open()
    try:
        known = min(count, _NEIGHBOURS_AT_MOST)
        embeddings = face_embeddings(extraction_of(folder, settings), _EMBEDDED_IMAGES)
        await fill(store, neighbours(embeddings, known), COLLECTIONS, count=known, prefix="near")
        if count > known:
            rest = count - known
            await fill(
                store, strangers(settings.embedding_dim, rest), COLLECTIONS, count=rest, prefix="vector"
            )
        await settle(environment["MILVUS_URI"], settings.milvus_collection, count)
    finally:
        await store.close()


def _index(photos: int, environment: Mapping[str, str]) -> None:
    """Run the seeding from its command line."""
    locust = Path(__file__).parents[1]
    subprocess.run(
        [sys.executable, "-m", "seed", "--photos", str(photos)],
        env={**os.environ, **environment, "PYTHONPATH": f"{locust.parent}{os.pathsep}{locust}"},
        check=True,
    )
