"""What schemathesis needs beside the OpenAPI document: a photo of one face, and boxes with their corners in order."""

from __future__ import annotations

import json

import schemathesis
from hypothesis import strategies as st

from bentos.common.faces import BoundingBox
from bentos.demo import photos

SELFIE = photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))

_CORNERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 2))
_SIDES = st.floats(0.01, 1e6).map(lambda value: round(value, 2))


def _as_json(corner: tuple[float, float], width: float, height: float) -> str:
    x, y = corner
    return json.dumps([f"{v:.2f}" for v in (x, y, x + width, y + height)]).replace('"', "")


schemathesis.openapi.media_type("image/jpeg", st.just(SELFIE), aliases=["image/png", "image/webp"])
schemathesis.openapi.format(
    "bounding-box", st.builds(_as_json, st.tuples(_CORNERS, _CORNERS), _SIDES, _SIDES)
)
