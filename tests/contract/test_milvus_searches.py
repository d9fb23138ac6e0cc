"""On a real Milvus server, the search with requests of its own making and the documented one give the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bentos.domain.faces import BoundingBox
from bentos.domain.ids import derive_face_id
from bentos.stores.milvus.client import MilvusConnection
from bentos.stores.milvus.client_search import client_search
from bentos.stores.milvus.raw_search import RawSearch, problem
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import FaceVector

DIM = 16
ROWS = 200
CONDITIONS = ("", 'collection_id in ["one"]', 'collection_id in ["none"]', 'photo_id != "photo-3"')


def faces() -> list[FaceVector]:
    random = np.random.default_rng(1)
    made = []
    for number in range(ROWS):
        vector = random.standard_normal(DIM).astype(np.float32)
        bbox = BoundingBox(*np.sort(np.round(random.uniform(0, 4000, 4), 1)).tolist())
        photo_id = f"photo-{number // 3}"
        collection_id = ("one", "two", None)[number % 3]
        unit = vector / np.linalg.norm(vector)
        made.append(FaceVector(derive_face_id(photo_id, bbox), photo_id, collection_id, bbox, unit))
    return made


@pytest.mark.parametrize("consistency", ["Strong", "Bounded"])
async def test_both_ways_of_searching_give_the_same_rows(
    milvus_uri: str, folder: Path, consistency: str
) -> None:
    options = MilvusOptions(
        uri=milvus_uri,
        alias=f"searches_{consistency.lower()}",
        dim=DIM,
        pack_name="test-pack",
        fingerprint="0123456789abcdef",
        consistency=consistency,  # type: ignore[arg-type]
    )
    store, made = MilvusVectorStore(options), faces()
    connection = MilvusConnection(options)
    await store.open()
    try:
        await store.save_faces(made)
        await connection.open()
        assert problem() is None
        raw = RawSearch(connection, options.collection)
        for condition in CONDITIONS:
            for width in (16, 64, 256):
                query, params = made[5].embedding, {"ef": 512}
                fast = await raw.nearest(query, width=width, condition=condition, params=params)
                documented = await client_search(
                    connection, options.collection, query, width=width, condition=condition, params=params
                )
                assert fast == documented
                assert bool(fast) is ("none" not in condition)
    finally:
        await connection.call(lambda client: client.drop_alias(options.alias))
        await connection.call(lambda client: client.drop_collection(options.collection))
        await connection.close()
        await store.close()
