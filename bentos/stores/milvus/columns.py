"""Turns the rows of an answer into matches and faces, with the same rounding for every way of searching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bentos.domain.faces import BoundingBox
from bentos.stores.milvus.schema import BBOX, COLLECTION_ID, EMBEDDING, FACE_ID, PHOTO_ID
from bentos.stores.records import FaceVector, Match

COLUMNS = [PHOTO_ID, COLLECTION_ID, BBOX]
"""The fields that a search asks for in addition to the key and the score."""

_SCORE_DIGITS = 6
"""Inner products of float32 differ in the seventh digit with the order of summation, which depends on the index."""
_CORNER_DIGITS = 1


def matches_of(
    *,
    photo_ids: Iterable[str],
    collection_ids: Iterable[str],
    face_ids: Iterable[str],
    corners: Iterable[float],
    scores: Iterable[float],
) -> list[Match]:
    """One match for each row. `corners`: four for each row, x1, y1, x2, y2, one row after the other."""
    # For float32 widened to float64 this equals Python's `round`, at a tenth of the cost.
    boxes = np.round(np.fromiter(corners, np.float64), _CORNER_DIGITS).reshape(-1, 4).tolist()
    rounded = np.clip(np.round(np.fromiter(scores, np.float64), _SCORE_DIGITS), -1.0, 1.0).tolist()
    return [
        Match(photo_id, collection_id or None, face_id, BoundingBox(*box), score)
        for photo_id, collection_id, face_id, box, score in zip(
            photo_ids, collection_ids, face_ids, boxes, rounded, strict=True
        )
    ]


def face_of(row: Mapping[str, Any]) -> FaceVector:
    """A row of a query that asked for all fields."""
    corners = np.round(np.asarray(row[BBOX], np.float64), _CORNER_DIGITS).tolist()
    return FaceVector(
        row[FACE_ID],
        row[PHOTO_ID],
        row[COLLECTION_ID] or None,
        BoundingBox(*corners),
        np.asarray(row[EMBEDDING], np.float32),
    )
