"""Contract of `ReplacementVectorStore`, tested with Milvus Lite and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from bentos.domain.errors import NotReady
from bentos.stores.milvus.options import MilvusOptions
from bentos.stores.milvus.store import MilvusVectorStore
from bentos.stores.milvus.swap import MilvusReplacementStore
from tests.contract.test_vector_store import DIM, face, found, scanned

NEW_FINGERPRINT = "fedcba9876543210"


@dataclasses.dataclass
class Base:
    """The collection of an old pack, which is in use, and the new pack's collection beside it; all open."""

    old_options: MilvusOptions
    new_options: MilvusOptions
    old: MilvusVectorStore
    beside: MilvusReplacementStore

    @contextlib.contextmanager
    def client(self):
        with contextlib.closing(MilvusClient(self.old_options.uri, timeout=20)) as client:
            yield client

    async def new_service(self) -> MilvusVectorStore:
        """The store of a service of the new version. Raises `NotReady` as its `open` does."""
        store = MilvusVectorStore(self.new_options)
        await store.open()
        return store


@pytest.fixture(params=["milvus-lite", "milvus-server"])
async def base(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Base]:
    """A file per test; on the server one alias, which each test resets, because a new one takes five seconds."""
    lite = request.param == "milvus-lite"
    old_options = MilvusOptions(
        uri=str(folder / "vectors.db") if lite else request.getfixturevalue("milvus_uri"),
        alias="faces_of_the_swap",
        dim=DIM,
        pack_name="old-pack",
        fingerprint="0123456789abcdef",
        consistency="Bounded",
        timeout_s=20,
    )
    new_options = dataclasses.replace(old_options, pack_name="new-pack", fingerprint=NEW_FINGERPRINT)
    old = MilvusVectorStore(old_options)
    back = MilvusReplacementStore(dataclasses.replace(old_options, beside=True))
    beside = MilvusReplacementStore(dataclasses.replace(new_options, beside=True))
    for store in (back, beside):
        await store.open()
    await back.take_over()
    await old.open()
    await old.save_faces([face("shared", 0.9), face("old-only", 0.8)])
    yield Base(old_options, new_options, old, beside)
    for store in (back, beside):
        if await store.exists():
            await store.open()
            await store.remove_faces(await scanned(store))
        await store.close()
    await old.close()


async def test_it_is_filled_without_being_searched(base: Base) -> None:
    assert await base.beside.exists()
    await base.beside.save_faces([face("shared", 0.7)])
    assert len(await scanned(base.beside)) == 1
    assert not await base.beside.serves()
    assert await base.beside.served() == base.old_options.collection
    assert await base.beside.others() == [base.old_options.collection]
    assert await found(base.old) == ["shared", "old-only"]
    with pytest.raises(NotReady, match=r"python -m bentos\.reembed"):
        await base.new_service()


async def test_after_the_takeover_services_of_its_pack_open_and_running_services_keep_their_collection(
    base: Base,
) -> None:
    waiting = MilvusVectorStore(base.new_options)
    with pytest.raises(NotReady):
        await waiting.open()
    await base.beside.save_faces([face("shared", 0.7), face("new-only", 0.6)])
    for _ in range(2):
        await base.beside.take_over()
        assert await base.beside.serves()
    await waiting.open()
    try:
        assert await found(waiting) == ["shared", "new-only"]
        assert await found(base.old) == ["shared", "old-only"]
        with pytest.raises(NotReady):
            await MilvusVectorStore(base.old_options).open()
    finally:
        await waiting.close()


async def test_the_change_back_works_the_same_way(base: Base) -> None:
    await base.beside.take_over()
    back = MilvusReplacementStore(dataclasses.replace(base.old_options, beside=True))
    await back.open()
    try:
        assert len(await scanned(back)) == 2
        await back.take_over()
    finally:
        await back.close()
    with pytest.raises(NotReady):
        await base.new_service()


async def test_a_removal_by_a_service_also_affects_the_services_of_the_other_pack(base: Base) -> None:
    both = [face(name, 0.9) for name in ("photo", "single", "stays")]
    await base.old.save_faces(both)
    await base.beside.save_faces(both)
    await base.beside.take_over()
    new = await base.new_service()
    try:
        await base.old.remove_photos(["photo"])
        assert await found(new) == ["single", "stays"]
        await new.remove_faces([both[1].face_id])
        assert sorted(await found(base.old)) == ["old-only", "shared", "stays"]
        await new.remove_photos(["old-only"])
        assert sorted(await found(base.old)) == ["shared", "stays"]
    finally:
        await new.close()


async def test_its_own_removals_do_not_affect_the_collection_in_use(base: Base) -> None:
    shared = face("shared", 0.9)
    await base.beside.save_faces([shared])
    await base.beside.remove_faces([shared.face_id])
    assert await scanned(base.beside) == []
    assert await found(base.old) == ["shared", "old-only"]


async def test_a_collection_that_is_not_loaded_or_dropped_meanwhile_does_not_stop_a_removal(
    base: Base,
) -> None:
    with base.client() as client:
        await asyncio.to_thread(client.release_collection, base.new_options.collection)
        await base.old.remove_photos(["shared"])
        assert await found(base.old) == ["old-only"]

        removals = asyncio.gather(
            *(base.old.remove_photos([f"photo{n}"] + ["old-only"] * (n == 0)) for n in range(8))
        )
        await asyncio.to_thread(client.drop_collection, base.new_options.collection)
        await removals
        assert await found(base.old) == []


async def test_an_alias_with_the_same_prefix_is_another_alias(base: Base) -> None:
    other_options = dataclasses.replace(base.old_options, alias=f"{base.old_options.alias}_2")
    other = MilvusVectorStore(other_options)
    await other.open()
    try:
        await other.save_faces([face("shared", 0.9)])
        await base.old.remove_photos(["shared"])
        assert await found(other) == ["shared"]
        assert await base.beside.others() == [base.old_options.collection]
    finally:
        await other.close()
        if not other_options.lite:
            with base.client() as client:
                client.drop_alias(other_options.alias)
                client.drop_collection(other_options.collection)


async def test_an_empty_database_has_nothing_to_replace(base: Base) -> None:
    assert await base.beside.replaces_vectors()
    await base.old.remove_photos(["shared", "old-only"])
    assert not await base.beside.replaces_vectors()


async def test_the_collections_of_other_packs_are_removed_once_it_is_in_use(base: Base) -> None:
    with pytest.raises(RuntimeError, match="in use"):
        await base.beside.remove_others()
    await base.beside.take_over()
    assert await base.beside.remove_others() == [base.old_options.collection]
    assert await base.beside.others() == []
    new = await base.new_service()
    await new.close()


async def test_the_first_collection_gets_the_alias(base: Base) -> None:
    options = dataclasses.replace(base.new_options, alias=f"{base.new_options.alias}_first", beside=True)
    store = MilvusReplacementStore(options)
    try:
        assert not await store.exists()
        assert await store.served() is None
        await store.open()
        assert not await store.replaces_vectors()
        await store.take_over()
        assert await store.serves()
    finally:
        await store.close()
        if not options.lite:
            with base.client() as client:
                client.drop_alias(options.alias)
                client.drop_collection(options.collection)
