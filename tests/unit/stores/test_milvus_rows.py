"""Tests that a search sends pymilvus' request and reads the rows that pymilvus reads."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from bentos.domain.faces import BoundingBox
from bentos.domain.ids import derive_face_id
from bentos.stores.milvus import raw_search, rows
from bentos.stores.milvus.client import AsyncMilvusClient, MilvusConnection
from bentos.stores.milvus.options import Consistency
from bentos.stores.milvus.rows import MilvusRows
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import FaceVector, Match

DIM = 8
ROWS = 40
WIDTH = 30
CONDITION = 'collection_id in ["one", "two"]'
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((ROWS, DIM)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
CORNERS = np.sort(np.round(RNG.uniform(0, 5000, (ROWS, 4)), 1))


def face(number: int) -> FaceVector:
    photo_id, bbox = f"photo{number // 2}", BoundingBox(*CORNERS[number].tolist())
    collection_id = ("one", "two", "three", None)[number % 4]
    return FaceVector(derive_face_id(photo_id, bbox), photo_id, collection_id, bbox, VECTORS[number])


@pytest.fixture
def options(folder: Path) -> MilvusOptions:
    uri = str(folder / "vectors.db")
    return MilvusOptions(
        uri=uri, alias="faces", dim=DIM, pack_name="test-pack", fingerprint="0123456789abcdef"
    )


@pytest.fixture
async def connection(options: MilvusOptions) -> AsyncIterator[MilvusConnection]:
    """To a base of `ROWS` faces."""
    store = MilvusVectorStore(options)
    await store.open()
    await store.save_faces([face(number) for number in range(ROWS)])
    connection = MilvusConnection(options)
    await connection.open()
    yield connection
    await connection.close()
    await store.close()


async def asked_of_pymilvus(connection: MilvusConnection, options: MilvusOptions, ef: int) -> Any:
    return await connection.call(
        lambda client: client.search(
            options.collection,
            data=[VECTORS[0]],
            anns_field="embedding",
            filter=CONDITION,
            limit=WIDTH,
            output_fields=["photo_id", "collection_id", "bbox"],
            search_params={"metric_type": "IP", "params": {"ef": ef}},
            consistency_level=options.consistency,
            timeout=options.timeout_s,
        )
    )


async def recorded(connection: MilvusConnection, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records every request of a search."""
    requests: list[Any] = []

    async def stub_of(client: Any) -> Any:
        return (await client._get_connection())._async_stub

    stub = await connection.call(stub_of)
    search = stub.Search

    def record(request: Any, **metadata: Any) -> Any:
        requests.append(request)
        return search(request, **metadata)

    monkeypatch.setattr(stub, "Search", record)
    return requests


@pytest.mark.parametrize("consistency", get_args(Consistency))
@pytest.mark.parametrize(("ef", "sent"), [(10, WIDTH), (128, 128)])
async def test_a_search_sends_the_request_of_pymilvus(
    consistency: Consistency,
    ef: int,
    sent: int,
    options: MilvusOptions,
    connection: MilvusConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = dataclasses.replace(options, consistency=consistency)
    connection._options = options
    requests = await recorded(connection, monkeypatch)
    searched = MilvusRows(connection, options.collection, {"ef": ef})
    for query in (VECTORS[1], VECTORS[0]):
        await searched.nearest(query, width=WIDTH, condition=CONDITION)
    await asked_of_pymilvus(connection, options, sent)
    assert requests[1] == requests[2]
    assert requests[0] != requests[1]


async def test_the_rows_are_those_that_pymilvus_reads(
    options: MilvusOptions, connection: MilvusConnection
) -> None:
    found = await asked_of_pymilvus(connection, options, WIDTH)
    expected = [
        Match(
            hit["entity"]["photo_id"],
            hit["entity"]["collection_id"] or None,
            hit["face_id"],
            BoundingBox(*(round(corner, 1) for corner in hit["entity"]["bbox"])),
            min(1.0, round(hit["distance"], 6)),
        )
        for hit in found[0]
    ]
    searched = MilvusRows(connection, options.collection, {"ef": WIDTH})
    assert await searched.nearest(VECTORS[0], width=WIDTH, condition=CONDITION) == expected
    assert len(expected) == ROWS // 2
    assert {row.bbox for row in expected} <= {face(number).bbox for number in range(ROWS)}


async def test_no_row_is_no_match(options: MilvusOptions, connection: MilvusConnection) -> None:
    searched = MilvusRows(connection, options.collection, {})
    assert await searched.nearest(VECTORS[0], width=WIDTH, condition='collection_id in ["none"]') == []


@pytest.mark.parametrize("condition", [CONDITION, "", 'collection_id in ["none"]'])
async def test_the_documented_way_gives_the_same_rows(
    condition: str, options: MilvusOptions, connection: MilvusConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = MilvusRows(connection, options.collection, {"ef": 10})
    monkeypatch.setattr(rows, "_raw_search_is_possible", lambda: False)
    documented = MilvusRows(connection, options.collection, {"ef": 10})
    requests = await recorded(connection, monkeypatch)
    found = [
        await searched.nearest(VECTORS[0], width=WIDTH, condition=condition) for searched in (raw, documented)
    ]
    assert found[0] == found[1]
    assert requests[0] == requests[1]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (AsyncMilvusClient, "_get_connection"),
        (raw_search.Prepare, "search_requests_with_expr"),
        (raw_search, "construct_guarantee_ts"),
    ],
)
async def test_a_pymilvus_that_looks_different_is_searched_the_documented_way(
    owner: Any,
    name: str,
    options: MilvusOptions,
    connection: MilvusConnection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert raw_search.problem() is None
    caches = (raw_search.problem, rows._raw_search_is_possible)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, None)
        for cached in caches:
            cached.cache_clear()
        made = [MilvusRows(connection, options.collection, {}) for _ in range(3)]
    for cached in caches:
        cached.cache_clear()
    assert caplog.text.count("milvus is searched through pymilvus' client, which is slower") == 1
    assert len(await made[0].nearest(VECTORS[0], width=WIDTH, condition=CONDITION)) == ROWS // 2
