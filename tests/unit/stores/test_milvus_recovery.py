"""Tests of a collection that is released, dropped or replaced on a real Milvus server while a store uses it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from bentos.demo.servers.milvus import MilvusServer
from bentos.domain.errors import DependencyUnavailable, FaceSearchError, NotReady
from bentos.domain.faces import BoundingBox
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import FaceVector

pytestmark = [pytest.mark.system, pytest.mark.slow]

DIM = 8
BACK_WITHIN_S = 60
FACE = FaceVector(
    "0b8f7c1e-55c1-5d0e-9b5e-3a7d2b1c4f60",
    "photo",
    None,
    BoundingBox(1, 2, 3, 4),
    np.full(DIM, DIM**-0.5, np.float32),
)


@pytest.fixture
def options(milvus_uri: str) -> MilvusOptions:
    """Options of a separate alias for each test, which does not exist yet."""
    return MilvusOptions(
        uri=milvus_uri,
        alias=f"faces_{uuid.uuid4().hex[:8]}",
        dim=DIM,
        pack_name="test-pack",
        fingerprint="0123456789abcdef",
        consistency="Bounded",
        timeout_s=10,
    )


@pytest.fixture
async def store(options: MilvusOptions, admin: MilvusClient) -> AsyncIterator[MilvusVectorStore]:
    store = MilvusVectorStore(options)
    await store.open()
    await store.save_faces([FACE])
    yield store
    await store.close()


@pytest.fixture
def admin(options: MilvusOptions) -> Iterator[MilvusClient]:
    """An operator's client; removes the collections of the test afterwards."""
    with contextlib.closing(MilvusClient(options.uri, timeout=20)) as client:
        yield client
        client.drop_alias(options.alias)
        for name in client.list_collections():
            if name.startswith(options.alias):
                client.drop_collection(name)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[int], str]]:
    """The log lines of a level."""
    logger = logging.getLogger("bentos")
    before, logger.propagate = logger.propagate, True
    caplog.set_level(logging.INFO, "bentos")
    yield lambda level: "\n".join(r.getMessage() for r in caplog.records if r.levelno == level)
    logger.propagate = before


async def found(store: MilvusVectorStore) -> list[str]:
    return [match.photo_id for match in await store.nearest(FACE.embedding, photos=5, score_threshold=0.5)]


async def eventually(call: Callable[[], Awaitable[object]], expected: object) -> None:
    """Repeats the call until it returns the expected value; fails with the last outcome."""
    outcome: object = None
    deadline = asyncio.get_running_loop().time() + BACK_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        try:
            outcome = await call()
        except FaceSearchError as error:
            outcome = error.message
        if outcome == expected:
            return
        await asyncio.sleep(0.1)
    assert outcome == expected


def target_of(admin: MilvusClient, options: MilvusOptions) -> str:
    return str(admin.describe_alias(options.alias)["collection_name"])


async def made_by(options: MilvusOptions, *faces: FaceVector, collection: str | None = None) -> str:
    """A complete collection of this pack with these faces, under another alias, which is dropped again."""
    scratch = dataclasses.replace(options, alias=f"{options.alias}_scratch")
    other = MilvusVectorStore(scratch)
    await other.open()
    await other.save_faces(faces)
    await other.close()
    with contextlib.closing(MilvusClient(options.uri, timeout=20)) as client:
        client.drop_alias(scratch.alias)
        if collection is not None:
            client.rename_collection(scratch.collection, collection)
    return collection or scratch.collection


async def test_a_released_collection_is_loaded_again_by_the_first_search_that_fails(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient, logged: Callable[[int], str]
) -> None:
    admin.release_collection(options.collection)
    failed = await asyncio.gather(*(found(store) for _ in range(8)), return_exceptions=True)
    assert {type(each) for each in failed} == {DependencyUnavailable}
    assert "not loaded" in str(failed[0])
    await eventually(lambda: found(store), [FACE.photo_id])
    assert logged(logging.ERROR) == ""


async def test_a_released_collection_is_loaded_again_by_a_check_without_a_search(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient
) -> None:
    admin.release_collection(options.collection)
    with pytest.raises(DependencyUnavailable, match="not loaded"):
        await store.check()
    await eventually(store.check, None)
    assert await found(store) == [FACE.photo_id]


async def test_a_dropped_collection_is_created_again_once_and_reported_as_empty(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient, logged: Callable[[int], str]
) -> None:
    admin.drop_alias(options.alias)
    admin.drop_collection(options.collection)
    failed = await asyncio.gather(*(found(store) for _ in range(8)), return_exceptions=True)
    assert {type(each) for each in failed} == {DependencyUnavailable}
    await eventually(lambda: found(store), [])
    assert target_of(admin, options) == options.collection
    assert logged(logging.ERROR).count("EMPTY") == 1
    assert "python -m bentos.audit --fix" in logged(logging.ERROR)
    await store.save_faces([FACE])
    assert await found(store) == [FACE.photo_id]
    await store.check()


async def test_several_stores_that_lose_one_collection_share_the_new_one(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient
) -> None:
    others = [MilvusVectorStore(options) for _ in range(3)]
    for other in others:
        await other.open()
    admin.drop_alias(options.alias)
    admin.drop_collection(options.collection)
    for each in (store, *others):
        await eventually(lambda each=each: found(each), [])  # type: ignore[misc]
    await store.save_faces([FACE])
    for each in (store, *others):
        await eventually(lambda each=each: found(each), [FACE.photo_id])  # type: ignore[misc]
        await each.check()
    for other in others:
        await other.close()


async def test_a_dropped_alias_is_created_again_while_searches_succeed(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient
) -> None:
    admin.drop_alias(options.alias)
    await store.check()

    async def aliases() -> list[str]:
        assert await found(store) == [FACE.photo_id]
        return list(admin.list_aliases(options.collection)["aliases"])

    await eventually(aliases, [options.alias])


async def test_an_alias_that_moves_to_a_collection_of_the_same_pack_is_followed(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient, logged: Callable[[int], str]
) -> None:
    other = dataclasses.replace(FACE, photo_id="other")
    moved_to = await made_by(options, other, collection=f"{options.collection}_b")
    admin.alter_alias(moved_to, options.alias)
    assert await found(store) == [FACE.photo_id]

    async def checked() -> list[str]:
        await store.check()
        return await found(store)

    await eventually(checked, ["other"])
    assert f"now use {moved_to} instead of {options.collection}" in logged(logging.WARNING)
    await store.save_faces([FACE])
    assert await found(store) == [FACE.photo_id]
    # Writes now go to the new collection, and a process that starts now uses it as well.
    started = MilvusVectorStore(options)
    await started.open()
    assert await found(started) == [FACE.photo_id]
    await started.close()
    # Without an alias the store keeps the collection that it followed, and does not go back to the first.
    admin.drop_alias(options.alias)
    await store.check()
    await eventually(lambda: asyncio.to_thread(_aliases, admin, moved_to), [options.alias])


def _aliases(admin: MilvusClient, collection: str) -> list[str]:
    return list(admin.list_aliases(collection)["aliases"])


async def test_an_alias_that_moves_to_another_pack_is_not_followed_and_is_refused_at_a_start(
    store: MilvusVectorStore, options: MilvusOptions, admin: MilvusClient, logged: Callable[[int], str]
) -> None:
    another = dataclasses.replace(options, fingerprint="fedcba9876543210", pack_name="other-pack")
    moved_to = await made_by(another, dataclasses.replace(FACE, photo_id="other"))
    admin.alter_alias(moved_to, options.alias)

    async def noticed() -> bool:
        await store.check()
        return f"now names {moved_to}" in logged(logging.WARNING)

    await eventually(noticed, True)
    await store.check()
    assert await found(store) == [FACE.photo_id]
    admin.release_collection(options.collection)
    await eventually(lambda: found(store), [FACE.photo_id])
    with pytest.raises(NotReady, match="other-pack") as refused:
        await MilvusVectorStore(options).open()
    assert refused.value.summary == "built with another face pack"

    admin.drop_collection(options.collection)

    async def state() -> str:
        try:
            await store.check()
        except FaceSearchError as error:
            return type(error).__name__
        return "available"

    await eventually(state, "NotReady")
    assert options.collection not in admin.list_collections(), (
        "no collection is created for another pack's alias"
    )
    assert target_of(admin, options) == moved_to


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A server that requires a token."""
    with MilvusServer(tmp_path_factory.mktemp("milvus"), authorization=True).running() as server:
        yield server


async def test_a_token_that_changes_is_used_without_a_restart(
    guarded: MilvusServer, options: MilvusOptions, folder: Path, logged: Callable[[int], str]
) -> None:
    file = folder / "token"
    file.write_text("root:Milvus")
    store = MilvusVectorStore(
        dataclasses.replace(options, uri=guarded.uri, alias="faces", token=file.read_text)
    )
    await store.open()
    await store.save_faces([FACE])
    with contextlib.closing(MilvusClient(guarded.uri, token="root:Milvus", timeout=20)) as admin:
        admin.update_password("root", "Milvus", "another-password")

    async def answers() -> str:
        try:
            await store.check()
        except DependencyUnavailable as error:
            return error.message
        return "available"

    await eventually(answers, "milvus is not available: it refuses MILVUS_TOKEN.")
    file.write_text("root:another-password")
    await eventually(answers, "available")
    assert await found(store) == [FACE.photo_id]
    await store.close()

    file.write_text("root:wrong-password")
    with pytest.raises(DependencyUnavailable, match="refuses MILVUS_TOKEN"):
        await store.open()
    output = logged(logging.WARNING) + logged(logging.INFO) + logged(logging.ERROR)
    assert "refuses MILVUS_TOKEN" in output
    assert "password" not in output
