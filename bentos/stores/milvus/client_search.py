"""Searches one collection through `AsyncMilvusClient.search`: the documented way, when `raw_search` cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from bentos.domain.faces import Embedding
from bentos.stores.milvus.client import MilvusConnection
from bentos.stores.milvus.columns import COLUMNS, matches_of
from bentos.stores.milvus.schema import BBOX, COLLECTION_ID, EMBEDDING, FACE_ID, METRIC, PHOTO_ID
from bentos.stores.records import Match


async def client_search(
    connection: MilvusConnection,
    collection: str,
    query: Embedding,
    *,
    width: int,
    condition: str,
    params: Mapping[str, int],
) -> list[Match]:
    """The best `width` rows that meet the condition, in the server's order. Raises `DependencyUnavailable`."""
    options = connection.options

    async def ask(client: Any) -> Any:
        return await client.search(
            collection,
            data=[query],
            anns_field=EMBEDDING,
            filter=condition,
            limit=width,
            output_fields=COLUMNS,
            search_params={"metric_type": METRIC, "params": dict(params)},
            consistency_level=options.consistency,
            timeout=options.timeout_s,
        )

    [hits] = await connection.call(ask) or [[]]
    rows = [hit["entity"] for hit in hits]
    return matches_of(
        photo_ids=[row[PHOTO_ID] for row in rows],
        collection_ids=[row[COLLECTION_ID] for row in rows],
        # Older servers do not send the name of the key; pymilvus then calls it `id`.
        face_ids=[hit["id"] if "id" in hit else hit[FACE_ID] for hit in hits],
        corners=chain.from_iterable(row[BBOX] for row in rows),
        scores=[hit["distance"] for hit in hits],
    )
