"""Describes the errors in OpenAPI: one model, and an example of each error that an endpoint may give."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from bentos.domain import errors
from bentos.http.error_responses import STATUS

_PHOTO = "holiday-042.jpg"
_IMAGES = ("image/jpeg", "image/png", "image/webp")
_FACE = "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11"
_EXAMPLES: tuple[errors.FaceSearchError, ...] = (
    errors.InvalidImageFormat("The file is not a JPEG, PNG or WebP image."),
    errors.InvalidApiKey(),
    errors.PhotoNotFound(_PHOTO),
    errors.FaceNotFound(_FACE),
    errors.CollectionMismatch(_PHOTO, "summer-2026", "winter-2026"),
    errors.ImageTooLarge("The image may have at most 5242880 bytes.", {"max_bytes": 5242880}),
    errors.NoFacesDetected("There is no face in this image."),
    errors.TooManyFaces(
        "There are 2 faces in this image; send one with a single face, or say which with bbox or face=largest.",
        {"faces": [{"bbox": [10.0, 12.0, 96.0, 120.5], "score": 0.93}]},
    ),
    errors.InvalidRequest("Check top_k.", {"top_k": "Input should be less than or equal to 50"}),
    errors.DependencyUnavailable("milvus", "it did not answer in time"),
    errors.Overloaded(),
    errors.TimedOut(60),
    errors.InternalError(),
)


class ErrorAnswer(BaseModel):
    """The one shape of every error."""

    error: str = Field(description="A code that does not change.")
    message: str = Field(description="One sentence that a person can act on.")
    request_id: str
    details: dict[str, Any]


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint that may give these errors, besides those that any endpoint may give."""
    everywhere = (
        errors.InvalidApiKey.code,
        errors.InvalidRequest.code,
        errors.DependencyUnavailable.code,
        errors.TimedOut.code,
        errors.InternalError.code,
    )
    wanted = {*codes, *everywhere}
    responses: dict[int | str, dict[str, Any]] = {}
    for example in _EXAMPLES:
        if example.code in wanted:
            response = responses.setdefault(STATUS[example.code], _response())
            response["description"] += f" `{example.code}`"
            response["content"]["application/json"]["examples"][example.code] = {"value": _body(example)}
    return responses


def _response() -> dict[str, Any]:
    return {"model": ErrorAnswer, "description": "", "content": {"application/json": {"examples": {}}}}


def _body(error: errors.FaceSearchError) -> dict[str, Any]:
    return {
        "error": error.code,
        "message": error.message,
        "request_id": "5f0c2f2e9f2b4d0f8f6a3c1b7e8d9a01",
        "details": error.details,
    }


def one_of_forms(*forms: set[str], exclusive: bool = False) -> dict[str, Any]:
    """For `openapi_extra`: the fields of one of `forms` are needed, and those of no other when `exclusive`.

    A field that ends in `?` may be left out.
    """
    names = [{field.removesuffix("?") for field in form} for form in forms]
    everything = set[str]().union(*names)
    rules = [
        {
            "required": sorted(field for field in form if not field.endswith("?")),
            **({"properties": dict.fromkeys(sorted(everything - allowed), False)} if exclusive else {}),
        }
        for form, allowed in zip(forms, names, strict=True)
    ]
    content = {"multipart/form-data": {"schema": {"anyOf": rules}}}
    return {"requestBody": {"required": True, "content": content}}


def tighten(document: dict[str, Any]) -> None:
    """State what FastAPI does not: forms and queries have no null, a file is an image, forms are multipart.

    Changes `document` in place. The forms move from the components to the endpoints, because each has its own form.
    """
    components = document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            for form in operation.get("requestBody", {}).get("content", {}).values():
                rules = dict(form["schema"])
                name = rules.pop("$ref").rpartition("/")[2]
                form["schema"] = {**components.pop(name), **rules}
                _tighten_form(form)


def _tighten_form(form: dict[str, Any]) -> None:
    fields = form["schema"]["properties"]
    for name, schema in fields.items():
        fields[name] = _without_null(schema)
    if "file" in fields:
        form["encoding"] = {"file": {"contentType": ", ".join(_IMAGES)}}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
