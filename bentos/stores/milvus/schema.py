"""The collection behind the alias: made when missing, refused when it is another face pack's, brought into memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from bentos.domain.errors import DependencyUnavailable, NotReady
from bentos.stores.milvus.client import DataType, MilvusConnection, MilvusException
from bentos.stores.milvus.options import MilvusOptions

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
"""What Milvus Lite and the servers call a missing alias."""


class MilvusSchema:
    """Brings the base to where it can be searched. Every step may run at once in several processes."""

    def __init__(self, connection: MilvusConnection, options: MilvusOptions) -> None:
        self._connection, self._options = connection, options
        self._name, self._timeout_s = options.collection, options.timeout_s

    async def ensure(self) -> None:
        """Create what is missing, check, and load. Raises `NotReady`; `DependencyUnavailable`."""
        # The alias is asked before anything is created, so that a wrong face pack leaves nothing behind.
        await self._refuse_another_pack(await self._aliased())
        await self._once(self._create_collection, self._exists)
        await asyncio.gather(*(self._ensure_index(index) for index in self._indexes()))
        try:
            await self._once(self._create_alias, self._has_alias)
        except DependencyUnavailable:
            await self._refuse_a_collection_named_like_the_alias()
            raise
        await self._refuse_another_pack(await self._aliased())
        await self._ensure_loaded()

    async def index_type(self) -> str:
        """The type of the vector index as it is, whatever the options say now."""
        found = await self._connection.call(
            lambda client: client.describe_index(self._name, EMBEDDING, timeout=self._timeout_s)
        )
        return str((found or {}).get("index_type", self._options.index_type))

    async def _aliased(self) -> str | None:
        async def target(client: Any) -> str | None:
            try:
                found = await client.describe_alias(self._options.alias, timeout=self._timeout_s)
            except MilvusException as error:
                if error.code in _NO_ALIAS:
                    return None
                raise
            return str(found["collection_name"])

        return await self._connection.call(target)

    async def _refuse_another_pack(self, aliased: str | None) -> None:
        if aliased in {None, self._name}:
            return
        found = await self._connection.call(
            lambda client: client.describe_collection(aliased, timeout=self._timeout_s)
        )
        # Milvus Lite forgets descriptions: there the name alone says which pack it was.
        built = found.get("description") or f"another face pack (collection {aliased})"
        raise NotReady(
            f"The base {self._options.alias!r} was built with {built}, but this service has {self._options.pack}: "
            "run `python -m bentos.reembed` to embed the photos again, "
            "or set FACE_PACK and EMBEDDING_DIM to the base's."
        )

    async def _once(
        self, step: Callable[[Any], Awaitable[object]], done: Callable[[], Awaitable[bool]]
    ) -> None:
        """Take the step unless it is done; should it fail because another process is taking it, see it done."""
        if await done():
            return
        try:
            await self._connection.call(step)
        except DependencyUnavailable:
            for _ in range(_LOOKS_AT_A_RACE):
                if await done():
                    return
                await asyncio.sleep(_POLL_S)
            raise

    async def _exists(self) -> bool:
        return await self._connection.call(
            lambda client: client.has_collection(self._name, timeout=self._timeout_s)
        )

    async def _create_collection(self, client: Any) -> None:
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
            # Exact, and as fast as HNSW at the sizes that a file is for.
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
        await self._once(
            lambda client: self._create_index(client, index), lambda: self._indexed(index["field_name"])
        )

    async def _create_index(self, client: Any, index: dict[str, Any]) -> None:
        params = client.prepare_index_params()
        params.add_index(index_name=index["field_name"], **index)
        try:
            await client.create_index(self._name, params, timeout=self._timeout_s)
        except grpc.RpcError as error:
            # The index of Milvus Lite is there at once, and there is no clock to wait for it by.
            if not (self._options.lite and error.code() is grpc.StatusCode.UNIMPLEMENTED):
                raise

    async def _indexed(self, field: str) -> bool:
        found = await self._connection.call(
            lambda client: client.list_indexes(self._name, field, timeout=self._timeout_s)
        )
        return bool(found)

    async def _create_alias(self, client: Any) -> None:
        await client.create_alias(self._name, self._options.alias, timeout=self._timeout_s)

    async def _has_alias(self) -> bool:
        return await self._aliased() is not None

    async def _refuse_a_collection_named_like_the_alias(self) -> None:
        alias = self._options.alias
        if await self._connection.call(lambda client: client.has_collection(alias, timeout=self._timeout_s)):
            raise NotReady(
                f"Milvus has a collection of its own named {alias!r}: set MILVUS_COLLECTION to a free name."
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
            # pymilvus waits for the end of the loading, which may take longer than a call.
            if await self._load_state() not in {"Loading", "Loaded"}:
                raise
        while await self._load_state() != "Loaded":
            if time.monotonic() > deadline:
                reason = f"the collection is not in its memory after {self._options.load_timeout_s:g} s"
                raise DependencyUnavailable("milvus", reason)
            await asyncio.sleep(_POLL_S)

    async def _load_state(self) -> str:
        found = await self._connection.call(
            lambda client: client.get_load_state(self._name, timeout=self._timeout_s)
        )
        return str(found["state"].name)
