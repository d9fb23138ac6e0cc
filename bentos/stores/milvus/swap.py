"""Fills the collection of another face pack beside the one in use, then points the alias to it."""

from __future__ import annotations

import asyncio
from typing import Any

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.milvus.schema import FACE_ID, MilvusSchema
from bentos.stores.milvus.siblings import siblings
from bentos.stores.milvus.store import MilvusVectorStore


class MilvusReplacementStore(MilvusVectorStore):
    """The `ReplacementVectorStore` over Milvus; its options have `beside` set."""

    async def exists(self) -> bool:
        """See `ReplacementVectorStore`."""
        return bool(await self._ask("has_collection", self._options.collection))

    async def serves(self) -> bool:
        """See `ReplacementVectorStore`."""
        return await self.served() == self._options.collection

    async def served(self) -> str | None:
        """See `ReplacementVectorStore`."""
        await self._connection.open()
        return await self._schema().alias_target()

    async def replaces_vectors(self) -> bool:
        """See `ReplacementVectorStore`."""
        served = await self.served()
        if served in {None, self._options.collection}:
            return False
        await self._ask("load_collection", served)
        return bool(await self._query(f'{FACE_ID} > ""', limit=1, collection=served))

    async def take_over(self) -> None:
        """See `ReplacementVectorStore`."""
        await self._schema().ensure_alias()
        if not await self.serves():
            await self._ask("alter_alias", self._options.collection, self._options.alias)
        if not await self.serves():
            raise DependencyUnavailable("milvus", f"the alias {self._options.alias!r} did not move")

    async def others(self) -> list[str]:
        """See `ReplacementVectorStore`."""
        await self._connection.open()
        return await siblings(self._connection, self._options, self._options.collection)

    async def remove_others(self) -> list[str]:
        """See `ReplacementVectorStore`."""
        if not await self.serves():
            raise RuntimeError("the other collections are in use")
        others = await self.others()
        await asyncio.gather(*(self._ask("drop_collection", name) for name in others))
        return others

    def _schema(self) -> MilvusSchema:
        return MilvusSchema(self._connection, self._options)

    async def _ask(self, verb: str, *arguments: str | None) -> Any:
        await self._connection.open()
        return await self._connection.call(
            lambda client: getattr(client, verb)(*arguments, timeout=self._options.timeout_s)
        )
