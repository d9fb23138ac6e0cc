"""Inputs for schemathesis beyond the OpenAPI document: a photo of one face, and boxes with ordered corners."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from bentos.http.fields import parse_box

SELFIE = photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))

FACE = BoundingBox(45.6, 54.3, 170.8, 211.8)
"""Where its face is."""

_BEFORE = st.floats(-1e6, 45).map(lambda value: round(value, 2))
_BEHIND = st.floats(215, 1e6).map(lambda value: round(value, 2))


def _as_json(x1: float, y1: float, x2: float, y2: float) -> str:
    """A box around the face of the selfie."""
    return f"[{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}]"


schemathesis.openapi.media_type("image/jpeg", st.just(SELFIE), aliases=["image/png", "image/webp"])
schemathesis.openapi.format("bounding-box", st.builds(_as_json, _BEFORE, _BEFORE, _BEHIND, _BEHIND))


def _not_in_a_form(value: object) -> bool:
    if isinstance(value, list):
        return sum(isinstance(item, str | int | float) for item in value) < 2
    return value is None


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: object) -> bool:
    """A form cannot express null (the word is a valid id), nor distinguish a list of one item from the item."""
    fields = getattr(body, "body", body)  # wrapped together with its file types
    return not isinstance(fields, dict) or not any(map(_not_in_a_form, fields.values()))


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: object) -> object:
    """A search by a valid box means the face of the selfie: a box elsewhere is no error of the document."""
    fields = getattr(body, "body", body)
    if context.operation.path == "/search/" and isinstance(fields, dict) and _is_box(fields.get("bbox")):
        fields["bbox"] = _as_json(*FACE.as_list())
    return body


def _is_box(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_box(value) is not None
    except ValueError:
        return False


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: object) -> None:
    """OpenAPI cannot say that one query excludes another: one face, or the whole photo with its image."""
    query = case.query
    if isinstance(query, dict) and "face_id" in query and str(query.get("purge")).lower() == "true":
        del query["purge"]


@schemathesis.hook
def before_add_examples(context: schemathesis.HookContext, examples: list[schemathesis.Case]) -> None:
    """Adds a file, for which the document has no example."""
    for case in examples:
        if isinstance(case.body, dict) and "file" in case.body:
            case.body["file"] = SELFIE
