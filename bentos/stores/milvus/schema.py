"""Finds the collection behind the alias, creates it when it is missing, and loads it into Milvus' memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bentos.domain.errors import DependencyUnavailable, NotReady
from bentos.stores.milvus.client import DataType, MilvusConnection, MilvusException
from bentos.stores.milvus.lite_file import lite_index
from bentos.stores.milvus.options import MilvusOptions

logger = logging.getLogger(__name__)

FACE_ID = "face_id"
PHOTO_ID = "photo_id"
COLLECTION_ID = "collection_id"
BBOX = "bbox"
EMBEDDING = "embedding"
METRIC = "IP"

_FACE_ID_LENGTH = 36
_ID_LENGTH = 128
_CORNERS = 4
_POLL_S = 0.2
_LOOKS_AT_A_RACE = 10
_NO_ALIAS = (100, 1600)
"""The codes of Milvus Lite and of the servers for a missing alias."""


@dataclass(frozen=True, slots=True)
class FoundCollection:
    """The collection to work on. `alias_target`: the collection that the alias names, normally the same one."""

    name: str
    alias_target: str
    index_type: str


class MilvusSchema:
    """Finds the collection behind the alias, creates what is missing, and loads it.

    Every step may run at once in several processes.
    """

    def __init__(self, connection: MilvusConnection, options: MilvusOptions) -> None:
        self._connection, self._options = connection, options
        self._timeout_s = options.timeout_s
        self._name = options.collection

    async def ensure(self, in_use: str | None) -> FoundCollection:
        """Create what is missing, check, and load. `in_use`: the collection that this store works on already.

        With `beside` the alias is neither read nor created. Raises `NotReady` when the alias names another face pack's
        collection and the store has none in use; `DependencyUnavailable`, also when another process moved the alias
        meanwhile.
        """
        beside = self._options.beside
        # The alias is read before anything is created, so that a wrong face pack leaves nothing behind.
        self._name = self._options.collection if beside else await self._chosen(in_use)
        if await self._once(self._create_collection, self._exists):
            self._log_creation(in_use)
        await asyncio.gather(*(self._ensure_index(index) for index in self._indexes()))
        target = self._name
        if not beside:
            await self.ensure_alias()
            if await self._chosen(in_use) != self._name:
                raise DependencyUnavailable("milvus", "the alias of the collection was moved just now")
            target = await self.alias_target() or self._name
        await self._ensure_loaded()
        return FoundCollection(self._name, target, await self._index_type())

    async def ensure_alias(self) -> None:
        """Create the alias for this collection, unless there is one. Raises `NotReady`; `DependencyUnavailable`."""
        try:
            await self._once(self._create_alias, self._has_alias)
        except DependencyUnavailable:
            await self._refuse_a_collection_named_like_the_alias()
            raise

    async def alias_target(self) -> str | None:
        """The collection that the alias names, or None. Raises `DependencyUnavailable`."""

        async def target(client: Any) -> str | None:
            try:
                found = await client.describe_alias(self._options.alias, timeout=self._timeout_s)
            except MilvusException as error:
                if error.code in _NO_ALIAS:
                    return None
                raise
            return str(found["collection_name"])

        return await self._connection.call(target)

    async def _chosen(self, in_use: str | None) -> str:
        """The alias' collection when this face pack made it, else the one in use, else the one to create."""
        target = await self.alias_target()
        if target == self._options.collection:
            return target
        built = "" if target is None else await self._description(target)
        if target is not None and self._options.is_same_pack(target, built):
            return target
        if in_use is not None and await self._exists_named(in_use):
            return in_use
        if target is None:
            return self._options.collection
        # Milvus Lite does not keep descriptions: there only the name says which pack it was.
        pack = built or f"another face pack (collection {target})"
        raise NotReady(
            f"The base {self._options.alias!r} was built with {pack}, but this service has {self._options.pack}: "
            "set FACE_PACK and EMBEDDING_DIM to the base's, or change the base to this service's pack with "
            "`python -m bentos.reembed`.",
            {"dependency": "milvus"},
            summary="built with another face pack",
        )

    async def _description(self, collection: str) -> str:
        found = await self._connection.call(
            lambda client: client.describe_collection(collection, timeout=self._timeout_s)
        )
        return str(found.get("description") or "")

    def _log_creation(self, in_use: str | None) -> None:
        if in_use is None:
            logger.info("milvus: created the collection %s; it is empty", self._name)
        else:
            logger.error(
                "milvus: the collection %s was dropped; %s was created and is EMPTY, so that searches find nothing: "
                "`python -m bentos.audit --fix` restores the vectors from the metadata and the images",
                in_use,
                self._name,
            )

    async def _index_type(self) -> str:
        """The type of the existing vector index, whatever the options say now."""
        found = await self._connection.call(
            lambda client: client.describe_index(self._name, EMBEDDING, timeout=self._timeout_s)
        )
        return str((found or {}).get("index_type", self._options.index_type))

    async def _once(self, step: Callable[[], Awaitable[object]], done: Callable[[], Awaitable[bool]]) -> bool:
        """Do the step unless it is done, and return whether this call did it.

        When it fails because another process does the same step, wait for that process.
        """
        if await done():
            return False
        try:
            await step()
        except DependencyUnavailable:
            for _ in range(_LOOKS_AT_A_RACE):
                if await done():
                    return False
                await asyncio.sleep(_POLL_S)
            raise
        return True

    async def _exists(self) -> bool:
        return await self._exists_named(self._name)

    async def _exists_named(self, collection: str) -> bool:
        return await self._connection.call(
            lambda client: client.has_collection(collection, timeout=self._timeout_s)
        )

    async def _create_collection(self) -> None:
        await self._connection.call(self._create_collection_with)

    async def _create_collection_with(self, client: Any) -> None:
        schema = client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=self._options.pack
        )
        schema.add_field(FACE_ID, DataType.VARCHAR, max_length=_FACE_ID_LENGTH, is_primary=True)
        schema.add_field(PHOTO_ID, DataType.VARCHAR, max_length=_ID_LENGTH)
        # Not a partition key: with one, `upsert` on 2.3.5 puts rows where a filtered search does not find them.
        schema.add_field(COLLECTION_ID, DataType.VARCHAR, max_length=_ID_LENGTH)
        schema.add_field(BBOX, DataType.ARRAY, element_type=DataType.FLOAT, max_capacity=_CORNERS)
        schema.add_field(EMBEDDING, DataType.FLOAT_VECTOR, dim=self._options.dim)
        await client.create_collection(
            self._name, schema=schema, timeout=self._timeout_s, consistency_level=self._options.consistency
        )

    def _indexes(self) -> list[dict[str, Any]]:
        vector: dict[str, Any] = {"field_name": EMBEDDING, "metric_type": METRIC}
        if self._options.lite:
            # Exact, and as fast as HNSW for the small bases that Milvus Lite is for.
            return [{**vector, "index_type": "FLAT"}]
        options = self._options
        params = {
            "HNSW": {"M": options.hnsw_m, "efConstruction": options.hnsw_ef_construction},
            "IVF_FLAT": {"nlist": options.ivf_nlist},
        }.get(options.index_type, {})
        # An empty type is the server's own choice: a trie on 2.3, an inverted index from 2.4 on.
        scalar = [{"field_name": field, "index_type": ""} for field in (PHOTO_ID, COLLECTION_ID)]
        return [{**vector, "index_type": options.index_type, "params": params}, *scalar]

    async def _ensure_index(self, index: dict[str, Any]) -> None:
        field = index["field_name"]

        async def create(client: Any) -> None:
            params = client.prepare_index_params()
            params.add_index(index_name=field, **index)
            await client.create_index(self._name, params, timeout=self._timeout_s)

        async def step() -> None:
            if self._options.lite:
                params = {name: value for name, value in index.items() if name != "field_name"}
                await self._connection.call(lite_index(self._name, field, params, self._timeout_s))
            else:
                await self._connection.call(create)

        await self._once(step, lambda: self._indexed(field))

    async def _indexed(self, field: str) -> bool:
        found = await self._connection.call(
            lambda client: client.list_indexes(self._name, field, timeout=self._timeout_s)
        )
        return bool(found)

    async def _create_alias(self) -> None:
        await self._connection.call(
            lambda client: client.create_alias(self._name, self._options.alias, timeout=self._timeout_s)
        )

    async def _has_alias(self) -> bool:
        return await self.alias_target() is not None

    async def _refuse_a_collection_named_like_the_alias(self) -> None:
        alias = self._options.alias
        if await self._exists_named(alias):
            raise NotReady(
                f"Milvus has a collection of its own named {alias!r}: set MILVUS_COLLECTION to a free name.",
                {"dependency": "milvus"},
                summary="the alias is the name of another collection",
            )

    async def _ensure_loaded(self) -> None:
        deadline = time.monotonic() + self._options.load_timeout_s
        if await self._load_state() == "Loaded":
            return
        try:
            await self._connection.call(
                lambda client: client.load_collection(self._name, timeout=self._timeout_s)
            )
        except DependencyUnavailable:
            # pymilvus waits until the collection is loaded, which may take longer than a call.
            if await self._load_state() not in {"Loading", "Loaded"}:
                raise
        while await self._load_state() != "Loaded":
            if time.monotonic() > deadline:
                reason = f"the collection is not loaded after {self._options.load_timeout_s:g} s"
                raise DependencyUnavailable("milvus", reason)
            await asyncio.sleep(_POLL_S)

    async def _load_state(self) -> str:
        found = await self._connection.call(
            lambda client: client.get_load_state(self._name, timeout=self._timeout_s)
        )
        return str(found["state"].name)
