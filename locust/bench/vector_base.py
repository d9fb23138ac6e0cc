"""Fills the vector store with many faces without indexing photos.

For measurements of the search only. The metadata and the object store have no record of these photos.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bentos.domain.faces import BoundingBox, FacesInImage
from bentos.domain.ids import derive_face_id
from bentos.pipeline.extraction import Extraction
from bentos.stores.base import VectorStore
from bentos.stores.milvus.client import (
    AsyncMilvusClient,  # pymilvus alone refuses a MILVUS_URI that is a file
)
from bentos.stores.milvus.schema import EMBEDDING
from bentos.stores.records import FaceVector
from seed.face_images import photo

Vectors = NDArray[np.float32]
"""(n, dim) float32, each row L2-normalised."""

_BATCH = 1000
_BATCHES_AT_ONCE = 4
_SETTLED_WITHIN_S = 1800
_LOOKS_AT_REST = 4  # merged segments are new, and their index is built a moment later
_BOX = BoundingBox(100.0, 100.0, 220.0, 260.0)
_NOISE = 0.6
"""Length of the noise added to a unit vector: cosine 0.86 to the original, as between photos of one person."""


def face_embeddings(extraction: Extraction, images: int) -> Vectors:
    """The embeddings of every face found in this number of made images."""
    embeddings = []
    for index in tqdm(range(images), desc="embedding made images", leave=False, disable=None):
        found = extraction.detect_and_embed([photo(index, seed=1).jpeg])[0]
        if isinstance(found, FacesInImage):
            embeddings += [face.embedding for face in found.faces if face.embedding is not None]
    return np.array(embeddings, dtype=np.float32)


def neighbours(embeddings: Vectors, count: int, *, seed: int = 0) -> Iterator[Vectors]:
    """`count` unit vectors near the given ones, in batches: each is a given one plus noise of a fixed length."""
    rng = np.random.default_rng(seed)
    for size in _batch_sizes(count):
        chosen = embeddings[rng.integers(0, len(embeddings), size)]
        yield _unit(chosen + _NOISE * _random_unit(rng, size, embeddings.shape[1]))


def strangers(dim: int, count: int, *, seed: int = 0) -> Iterator[Vectors]:
    """`count` random unit vectors of the dimension `dim`, in batches."""
    rng = np.random.default_rng(seed)
    for size in _batch_sizes(count):
        yield _random_unit(rng, size, dim)


async def fill(
    store: VectorStore, batches: Iterator[Vectors], collections: Sequence[str], *, count: int, prefix: str
) -> None:
    """Save the vectors as the only faces of `count` photos named by `prefix`, the collections taking turns.

    A repetition replaces the vectors of the first call.
    """
    progress = tqdm(total=count, desc="vectors", unit="face", disable=None)
    gate = asyncio.Semaphore(_BATCHES_AT_ONCE)

    async def save(faces: list[FaceVector]) -> None:
        try:
            await store.save_faces(faces)
            progress.update(len(faces))
        finally:
            gate.release()

    first = 0
    async with asyncio.TaskGroup() as group:
        for vectors in batches:
            await gate.acquire()
            faces = [_face(prefix, first + i, each, collections) for i, each in enumerate(vectors)]
            group.create_task(save(faces))
            first += len(faces)
    progress.close()


async def settle(uri: str, alias: str, count: int, *, within_s: float = _SETTLED_WITHIN_S) -> None:
    """Wait until Milvus has no background work: all rows are in merged, sealed, indexed and loaded segments.

    Milvus does this work on its own after ten minutes without writes, or in the middle of a measurement.
    """
    client = AsyncMilvusClient(uri, dedicated=True)
    try:
        collection = (await client.describe_alias(alias))["collection_name"]
        await client.flush(collection)
        merging = await client.compact(collection)
        deadline = time.monotonic() + within_s
        at_rest = 0
        while at_rest < _LOOKS_AT_REST:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Milvus has not indexed {count} rows within {within_s:g} s")
            await asyncio.sleep(0.5)
            merged = await client.get_compaction_state(merging) == "Completed"
            at_rest = at_rest + 1 if merged and await _is_indexed(client, collection, count) else 0
        await client.refresh_load(collection)
    finally:
        await client.close()


async def _is_indexed(client: AsyncMilvusClient, collection: str, count: int) -> bool:
    index = await client.describe_index(collection, EMBEDDING)
    return int(index["indexed_rows"]) >= count and not int(index["pending_index_rows"])


def _face(prefix: str, number: int, embedding: NDArray[np.float32], collections: Sequence[str]) -> FaceVector:
    photo_id = f"{prefix}-{number:08d}"
    collection_id = collections[number % len(collections)]
    return FaceVector(derive_face_id(photo_id, _BOX), photo_id, collection_id, _BOX, embedding)


def _batch_sizes(count: int) -> list[int]:
    return [min(_BATCH, count - first) for first in range(0, count, _BATCH)]


def _random_unit(rng: np.random.Generator, size: int, dim: int) -> Vectors:
    return _unit(rng.standard_normal((size, dim), dtype=np.float32))


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
