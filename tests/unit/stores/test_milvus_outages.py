"""Tests of the store with a Milvus server that is stopped, frozen or running again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import numpy as np
import pytest

from bentos.demo.servers.milvus import MilvusServer
from bentos.domain.errors import DependencyUnavailable
from bentos.domain.faces import BoundingBox
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import FaceVector

pytestmark = [pytest.mark.system, pytest.mark.slow]

DIM = 8
TIMEOUT_S = 3.0
MARGIN_S = 10.0
"""Allowance beyond the timeout, for a busy machine; without a bound of ours pymilvus tries again for minutes."""
BACK_WITHIN_S = 120
TOKEN = "root:a-secret-that-no-message-may-hold"
FACE = FaceVector(
    "0b8f7c1e-55c1-5d0e-9b5e-3a7d2b1c4f60",
    "photo",
    None,
    BoundingBox(1, 2, 3, 4),
    np.full(DIM, DIM**-0.5, np.float32),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with MilvusServer(tmp_path_factory.mktemp("milvus")).running() as server:
        yield server


@pytest.fixture
async def store(server: MilvusServer) -> AsyncIterator[MilvusVectorStore]:
    store = MilvusVectorStore(options(server.uri))
    await store.open()
    await store.save_faces([FACE])
    yield store
    await store.close()


def options(uri: str) -> MilvusOptions:
    return MilvusOptions(
        uri=uri,
        token=lambda: TOKEN,
        alias="faces",
        dim=DIM,
        pack_name="test-pack",
        fingerprint="0123456789abcdef",
        consistency="Bounded",
        timeout_s=TIMEOUT_S,
    )


async def found(store: MilvusVectorStore) -> list[str]:
    matches = await store.nearest(FACE.embedding, photos=5, score_threshold=0.5)
    return [match.photo_id for match in matches]


async def scan(store: MilvusVectorStore) -> None:
    async for _ in store.scan_faces():
        pass


VERBS: list[Callable[[MilvusVectorStore], Awaitable[object]]] = [
    found,
    scan,
    lambda store: store.check(),
    lambda store: store.save_faces([FACE]),
    lambda store: store.remove_photos(["other"]),
    lambda store: store.remove_faces([str(uuid.uuid4())]),
]


async def fails_in_time(call: Awaitable[object]) -> None:
    started = time.monotonic()
    with pytest.raises(DependencyUnavailable) as failed:
        await call
    assert time.monotonic() - started < TIMEOUT_S + MARGIN_S
    assert failed.value.dependency == "milvus"
    assert "127.0.0.1" not in failed.value.message
    assert TOKEN.split(":")[1] not in failed.value.message


async def every_call_fails_in_time(store: MilvusVectorStore) -> None:
    """Every call, then searches that begin after calls have failed."""
    await asyncio.gather(*(fails_in_time(verb(store)) for verb in VERBS))
    await asyncio.gather(*(fails_in_time(found(store)) for _ in range(8)))


async def finds_its_face_again(store: MilvusVectorStore) -> bool:
    deadline = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline:
        try:
            return await found(store) == [FACE.photo_id]
        except DependencyUnavailable:
            await asyncio.sleep(0.2)
    return False


async def test_a_missing_server_is_reported_within_the_timeout() -> None:
    await fails_in_time(MilvusVectorStore(options("http://127.0.0.1:1")).open())


async def test_calls_to_a_store_that_is_not_open_fail_with_the_reason() -> None:
    await fails_in_time(found(MilvusVectorStore(options("http://127.0.0.1:1"))))


async def test_calls_to_a_frozen_server_fail_in_time_and_succeed_once_it_responds(
    server: MilvusServer, store: MilvusVectorStore
) -> None:
    with server.frozen():
        await every_call_fails_in_time(store)
    assert await finds_its_face_again(store)
    await store.check()


async def test_a_store_that_failed_to_open_on_a_frozen_server_opens_once_it_responds(
    server: MilvusServer,
) -> None:
    store = MilvusVectorStore(options(server.uri))
    with server.frozen():
        await fails_in_time(store.open())
    await store.open()
    await store.save_faces([FACE])
    assert await finds_its_face_again(store)
    await store.close()


async def test_a_server_that_restarts_is_used_again_with_all_its_faces(
    server: MilvusServer, store: MilvusVectorStore
) -> None:
    server.stop()
    await every_call_fails_in_time(store)
    server.start()
    assert await finds_its_face_again(store)
    await store.remove_photos([FACE.photo_id])
    assert await found(store) == []
