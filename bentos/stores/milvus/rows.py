"""Searches one collection and reads the rows from the columns of Milvus' answer.

pymilvus makes two dicts of every row, which costs more CPU than the call itself. Tested with pymilvus 3.0.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from bentos.domain.faces import BoundingBox, Embedding
from bentos.stores.base import Match
from bentos.stores.milvus.client import (
    MilvusConnection,
    PlaceholderGroup,
    PlaceholderType,
    PlaceholderValue,
    Prepare,
    SearchRequest,
)
from bentos.stores.milvus.schema import BBOX, COLLECTION_ID, EMBEDDING, METRIC, PHOTO_ID

_SCORE_DIGITS = 6
"""Inner products of float32 differ in the seventh digit with the order of summation, which depends on the index."""
_CORNER_DIGITS = 1
_COLUMNS = [PHOTO_ID, COLLECTION_ID, BBOX]


class MilvusRows:
    """The nearest rows of one collection. Safe for concurrent use by the tasks of one event loop.

    `params` are the search parameters of its index. `ef` is raised to the number of rows, as HNSW requires.
    """

    def __init__(self, connection: MilvusConnection, collection: str, params: Mapping[str, int]) -> None:
        self._connection, self._collection, self._params = connection, collection, params
        self._templates: dict[int, Any] = {}

    async def nearest(self, query: Embedding, *, width: int, condition: str) -> list[Match]:
        """The best `width` rows that meet the condition, a `Match` each, in the server's order.

        `query`: (dim,) float32, contiguous. Raises `DependencyUnavailable`.
        """
        if width not in self._templates:
            self._templates[width] = self._template(query, width)
        request = SearchRequest()
        request.CopyFrom(self._templates[width])
        request.dsl = condition
        request.placeholder_group = _placeholder(query)
        return _matches(await self._connection.search(request))

    def _template(self, query: Embedding, width: int) -> Any:
        """A complete request, made by pymilvus; of each search only the condition and the vector differ."""
        params = dict(self._params)
        if "ef" in params:
            params["ef"] = max(params["ef"], width)
        return Prepare.search_requests_with_expr(
            self._collection,
            data=[query],
            anns_field=EMBEDDING,
            param={"metric_type": METRIC, "params": params},
            limit=width,
            output_fields=_COLUMNS,
            use_default_consistency=False,
        )


def _placeholder(query: Embedding) -> bytes:
    vector = PlaceholderValue(tag="$0", type=PlaceholderType.FloatVector, values=[query.tobytes()])
    message: bytes = PlaceholderGroup(placeholders=[vector]).SerializeToString()
    return message


def _matches(results: Any) -> list[Match]:
    """`results`: the `SearchResultData` of one query. Without rows it has no columns."""
    if not results.scores:
        return []
    columns = {field.field_name: field.scalars for field in results.fields_data}
    corners = chain.from_iterable(row.float_data.data for row in columns[BBOX].array_data.data)
    # For float32 widened to float64 this equals Python's `round`, at a tenth of the cost.
    boxes = np.round(np.fromiter(corners, np.float64), _CORNER_DIGITS).reshape(-1, 4).tolist()
    scores = np.clip(np.round(np.fromiter(results.scores, np.float64), _SCORE_DIGITS), -1.0, 1.0).tolist()
    return [
        Match(photo_id, collection_id or None, face_id, BoundingBox(*box), score)
        for photo_id, collection_id, face_id, box, score in zip(
            columns[PHOTO_ID].string_data.data,
            columns[COLLECTION_ID].string_data.data,
            results.ids.str_id.data,
            boxes,
            scores,
            strict=True,
        )
    ]
