"""Checks responses of `/search/`, also under load, because a wrong response may be a fast one."""

from __future__ import annotations

import json

from bench.search_form import SearchTask
from bentos.client.answers import SearchPage
from bentos.client.errors import ApiError, error_of

_OK = 200


def reason_of_failure(task: SearchTask, status: int, body: bytes, *, thorough: bool) -> str | None:
    """Why the response counts as an error, or None. `thorough`: check the results too."""
    if status != _OK:
        error = error_of(status, {}, body)
        return f"{status} {error.error}" if isinstance(error, ApiError) else str(status)
    return _flaw(task, body) if thorough else None


def _flaw(task: SearchTask, body: bytes) -> str | None:
    try:
        results = SearchPage.from_json(json.loads(body)).results
    except (ValueError, KeyError, TypeError, AttributeError):
        return "not an answer of /search/"
    scores = [match.score for match in results]
    photos = {match.photo_id for match in results}
    if len(results) > task.top_k:
        return "more results than top_k"
    if scores != sorted(scores, reverse=True):
        return "results out of order"
    if len(photos) != len(results):
        return "a photo twice"
    if task.collections and any(match.collection_id not in task.collections for match in results):
        return "a photo of another collection"
    return None
