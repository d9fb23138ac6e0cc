"""Answers ordinary searches without FastAPI's dependencies and models, which cost as much as the rest of the request.

An ordinary search has one file and only valid fields. Everything else goes to FastAPI's own handler, which answers the
errors; OpenAPI describes that handler. `APIRoute.get_route_handler` is FastAPI's documented way to extend a route.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from bentos.domain.ids import is_valid_id
from bentos.http.small_forms import SmallForm, small_form
from bentos.search.query import PageRequest

_WHOLE = re.compile(r"[1-9][0-9]{0,9}")
_SCORE = re.compile(r"-?[01](\.[0-9]{1,15})?")
_BOOLEANS = {"true": True, "false": False}
_LAST_PAGE = 2**31 - 1
_FIELDS = frozenset({"collection_id", "top_k", "score_threshold", "page", "include_url"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a search may ask for, and the defaults."""

    max_bytes: int
    top_k_default: int
    top_k_max: int
    score_threshold: float


Answer = Callable[[Request, bytes, PageRequest], Awaitable[Mapping[str, object]]]
"""The fields of `SearchAnswer` for an image. Raises what the handler of FastAPI raises."""


def quick_route(limits: Limits, answer: Answer) -> type[APIRoute]:
    """The class of the route that answers ordinary searches with `answer`."""

    class QuickRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            full = super().get_route_handler()

            async def handle(request: Request) -> Response:
                form = None if request.scope["query_string"] else await small_form(request)
                fields = None if form is None else fields_of(form, limits)
                if fields is None:
                    return await full(request)
                found = await answer(request, *fields)
                return Response(orjson.dumps(found), media_type="application/json")

            return handle

    return QuickRoute


def fields_of(form: SmallForm, limits: Limits) -> tuple[bytes, PageRequest] | None:
    """The image and the other fields of an ordinary search; None where one is missing, unknown or repeated."""
    if form.texts.keys() - _FIELDS or form.files.keys() != {"file"} or len(form.files["file"]) != 1:
        return None
    [image] = form.files["file"]
    collection_ids = form.texts.get("collection_id", [])
    if not 0 < len(image) <= limits.max_bytes or not all(map(is_valid_id, collection_ids)):
        return None
    single = {name: values for name, values in form.texts.items() if name != "collection_id"}
    if any(len(values) != 1 for values in single.values()):
        return None
    top_k = _whole(single.get("top_k"), limits.top_k_default, limits.top_k_max)
    page = _whole(single.get("page"), 1, _LAST_PAGE)
    score = _score(single.get("score_threshold"), limits.score_threshold)
    include_url = _BOOLEANS.get(single.get("include_url", ["false"])[0])
    if top_k is None or page is None or score is None or include_url is None:
        return None
    return image, PageRequest(collection_ids, top_k, page, score, include_url)


def _whole(values: list[str] | None, default: int, most: int) -> int | None:
    if values is None:
        return default
    number = int(values[0]) if _WHOLE.fullmatch(values[0]) else most + 1
    return number if number <= most else None


def _score(values: list[str] | None, default: float) -> float | None:
    if values is None:
        return default
    score = float(values[0]) if _SCORE.fullmatch(values[0]) else 2.0
    return score if abs(score) <= 1 else None
