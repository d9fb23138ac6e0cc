"""Searches one collection: with `raw_search` where the installed pymilvus allows it, else through pymilvus' client."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache

from bentos.domain.faces import Embedding
from bentos.stores.milvus import raw_search
from bentos.stores.milvus.client import MilvusConnection
from bentos.stores.milvus.client_search import client_search
from bentos.stores.records import Match

logger = logging.getLogger(__name__)


class MilvusRows:
    """The nearest rows of one collection. Safe for concurrent use by the tasks of one event loop.

    `params` are the search parameters of its index. `ef` is raised to the number of rows, as HNSW requires.
    """

    def __init__(self, connection: MilvusConnection, collection: str, params: Mapping[str, int]) -> None:
        self._connection, self._collection, self._params = connection, collection, params
        self._raw = raw_search.RawSearch(connection, collection) if _raw_search_is_possible() else None

    async def nearest(self, query: Embedding, *, width: int, condition: str) -> list[Match]:
        """The best `width` rows that meet the condition, a `Match` each, in the server's order.

        `query`: (dim,) float32, contiguous. Raises `DependencyUnavailable`.
        """
        params = dict(self._params)
        if "ef" in params:
            params["ef"] = max(params["ef"], width)
        if self._raw is not None:
            return await self._raw.nearest(query, width=width, condition=condition, params=params)
        return await client_search(
            self._connection, self._collection, query, width=width, condition=condition, params=params
        )


@cache
def _raw_search_is_possible() -> bool:
    """Whether `raw_search` can be used; logs the reason once when it cannot."""
    reason = raw_search.problem()
    if reason is not None:
        logger.warning("milvus is searched through pymilvus' client, which is slower: %s", reason)
    return reason is None
