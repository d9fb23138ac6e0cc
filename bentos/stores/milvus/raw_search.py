"""Searches one collection with requests that it builds itself, and reads the columns of the answer.

Private interface of pymilvus 3.0.2: `AsyncMilvusClient._get_connection`, the stub in `AsyncGrpcHandler._async_stub`,
`Prepare.search_requests_with_expr`, `construct_guarantee_ts`, `check_status`, `retry_on_rpc_failure`, and the messages
of `grpc_gen`.

What it buys: pymilvus makes two dicts of every row, which costs more CPU than the call itself. A search for 11, 21 or
51 photos takes the client 0.65, 0.86 or 0.92 ms instead of 1.07, 1.93 or 1.74 (docs/performance.md). `problem` is the
self-check at start; the documented alternative is `client_search.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from bentos.domain.faces import Embedding
from bentos.stores.milvus.client import AsyncMilvusClient, MilvusConnection
from bentos.stores.milvus.columns import COLUMNS, matches_of
from bentos.stores.milvus.schema import BBOX, COLLECTION_ID, EMBEDDING, METRIC, PHOTO_ID
from bentos.stores.records import Match

_missing: str | None = None
try:
    from pymilvus.client.async_grpc_handler import AsyncGrpcHandler
    from pymilvus.client.prepare import Prepare
    from pymilvus.client.ts_utils import construct_guarantee_ts
    from pymilvus.client.utils import check_status
    from pymilvus.decorators import retry_on_rpc_failure
    from pymilvus.grpc_gen.common_pb2 import PlaceholderGroup, PlaceholderType, PlaceholderValue
    from pymilvus.grpc_gen.milvus_pb2 import SearchRequest
except ImportError as error:
    _missing = str(error)


@cache
def problem() -> str | None:
    """Why the installed pymilvus cannot be searched this way, or None: makes a request, and looks for the stub."""
    if _missing is not None:
        return _missing
    if not inspect.iscoroutinefunction(getattr(AsyncMilvusClient, "_get_connection", None)):
        return "AsyncMilvusClient has no _get_connection"
    if "_async_stub" not in AsyncGrpcHandler.__init__.__code__.co_names:
        return "AsyncGrpcHandler has no _async_stub"
    try:
        query = np.zeros(2, np.float32)
        request = _with_query(_template("faces", query, 3, {"ef": 4}), query, "", "Bounded", "host:1")
    except Exception as error:  # noqa: BLE001 - whatever another version raises
        return f"a request cannot be made ({type(error).__name__})"
    written = {field.name for field, _ in request.ListFields()}
    if missing := {"collection_name", "placeholder_group", "search_params", "output_fields"} - written:
        return f"a request has no {', '.join(sorted(missing))}"
    return None


class RawSearch:
    """The nearest rows of one collection. `params`: the search parameters of its index, for a number of rows."""

    def __init__(self, connection: MilvusConnection, collection: str) -> None:
        self._connection, self._collection = connection, collection
        self._templates: dict[int, Any] = {}
        self._searched = retry_on_rpc_failure()(_searched)

    async def nearest(
        self, query: Embedding, *, width: int, condition: str, params: Mapping[str, int]
    ) -> list[Match]:
        """The best `width` rows that meet the condition, in the server's order. Raises `DependencyUnavailable`.

        `params` are those of the first call for each `width`.
        """
        if width not in self._templates:
            self._templates[width] = _template(self._collection, query, width, params)
        options = self._connection.options

        async def ask(client: Any) -> Any:
            # pymilvus replaces its channel when the server was away, so it is asked for at each search.
            handler = await client._get_connection()  # noqa: SLF001
            request = _with_query(
                self._templates[width], query, condition, options.consistency, handler.server_address
            )
            metadata = None if options.headers is None else tuple(options.headers().items())
            return await self._searched(handler, request, options.timeout_s, metadata)

        return _matches(await self._connection.call(ask))


async def _searched(
    handler: Any, request: Any, deadline_s: float, metadata: tuple[tuple[str, str], ...] | None
) -> Any:
    """The `SearchResultData`; decorated, as pymilvus' own `search`, with its retries and its reconnection."""
    response = await handler._async_stub.Search(request, timeout=deadline_s, metadata=metadata)  # noqa: SLF001
    check_status(response.status)
    return response.results


def _template(collection: str, query: Embedding, width: int, params: Mapping[str, int]) -> Any:
    """A complete request, made by pymilvus; of each search only the condition and the vector differ."""
    return Prepare.search_requests_with_expr(
        collection,
        data=[query],
        anns_field=EMBEDDING,
        param={"metric_type": METRIC, "params": dict(params)},
        limit=width,
        output_fields=COLUMNS,
        use_default_consistency=False,
    )


def _with_query(template: Any, query: Embedding, condition: str, consistency: str, address: str) -> Any:
    request = SearchRequest()
    request.CopyFrom(template)
    request.dsl = condition
    vector = PlaceholderValue(tag="$0", type=PlaceholderType.FloatVector, values=[query.tobytes()])
    request.placeholder_group = PlaceholderGroup(placeholders=[vector]).SerializeToString()
    level: dict[str, Any] = {"consistency_level": consistency}
    construct_guarantee_ts(request.collection_name, level, address)
    request.consistency_level = level["consistency_level"]
    request.guarantee_timestamp = level["guarantee_timestamp"]
    return request


def _matches(results: Any) -> list[Match]:
    """`results`: the `SearchResultData` of one query. Without rows it has no columns."""
    if not results.scores:
        return []
    columns = {field.field_name: field.scalars for field in results.fields_data}
    return matches_of(
        photo_ids=columns[PHOTO_ID].string_data.data,
        collection_ids=columns[COLLECTION_ID].string_data.data,
        face_ids=results.ids.str_id.data,
        corners=chain.from_iterable(row.float_data.data for row in columns[BBOX].array_data.data),
        scores=results.scores,
    )
