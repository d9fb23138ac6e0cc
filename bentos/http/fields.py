"""The types of the fields that a caller may send: each defines what is valid, for FastAPI and for OpenAPI."""

from __future__ import annotations

import json
import math
from typing import Annotated

from fastapi import UploadFile
from pydantic import AfterValidator, WithJsonSchema

from bentos.domain.errors import ImageTooLarge, InvalidRequest
from bentos.domain.faces import BoundingBox
from bentos.domain.ids import ID_PATTERN, ID_RULE, is_face_id, is_valid_id

_CORNERS = 4
_NUMBER = r"-?[0-9]+(\.[0-9]+)?"
_BOX_PATTERN = rf"^\[ *{_NUMBER} *, *{_NUMBER} *, *{_NUMBER} *, *{_NUMBER} *\]$"
_LONGEST_BOX = 200
_FARTHEST = 1e9


def parse_box(text: str) -> BoundingBox:
    """Four numbers as JSON, `[x1, y1, x2, y2]`. Raises `ValueError` with a reason."""
    try:
        corners = json.loads(text) if len(text) <= _LONGEST_BOX else None
    except ValueError:
        corners = None
    if not isinstance(corners, list) or len(corners) != _CORNERS or not all(map(_is_number, corners)):
        raise ValueError("has to be four numbers as JSON: [x1, y1, x2, y2]")
    box = BoundingBox(*map(float, corners))
    if box.x1 >= box.x2 or box.y1 >= box.y2:
        raise ValueError("has to have x1 < x2 and y1 < y2")
    return box


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _FARTHEST
        and math.isfinite(value)
    )


def _valid_id(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError(f"has to be {ID_RULE}")
    return value


def _valid_face_id(value: str) -> str:
    if not is_face_id(value.lower()):
        raise ValueError("has to be a UUID as the service writes it")
    return value.lower()


def _valid_box(value: str) -> str:
    parse_box(value)
    return value


_ID_SCHEMA = {"type": "string", "pattern": ID_PATTERN.replace(r"\Z", "$"), "maxLength": 128}

PhotoId = Annotated[
    str, AfterValidator(_valid_id), WithJsonSchema({**_ID_SCHEMA, "examples": ["holiday-042.jpg"]})
]
CollectionId = Annotated[
    str, AfterValidator(_valid_id), WithJsonSchema({**_ID_SCHEMA, "examples": ["summer-2026"]})
]
FaceId = Annotated[str, AfterValidator(_valid_face_id), WithJsonSchema({"type": "string", "format": "uuid"})]
BoxText = Annotated[
    str,
    AfterValidator(_valid_box),
    WithJsonSchema(
        {
            "type": "string",
            "format": "bounding-box",
            "pattern": _BOX_PATTERN,
            "description": "As JSON, [x1, y1, x2, y2] with x1 < x2 and y1 < y2.",
            "examples": ["[463.0, 266.1, 576.2, 416.0]"],
        }
    ),
]


async def read_image(file: UploadFile, *, max_bytes: int) -> bytes:
    """The bytes of an uploaded file. Raises `ImageTooLarge`; `InvalidRequest` when the file is empty."""
    if file.size is not None and file.size > max_bytes:
        raise ImageTooLarge(f"The image may have at most {max_bytes} bytes.", {"max_bytes": max_bytes})
    image = await file.read()
    if not image:
        raise InvalidRequest("Check file.", {"file": "is empty"})
    return image
