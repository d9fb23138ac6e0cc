"""Checks responses of `/search/`, also under load, because a wrong response may be a fast one."""

from __future__ import annotations

import json
from typing import Any

from bench.search_form import SearchTask

_OK = 200


def reason_of_failure(task: SearchTask, status: int, body: bytes, *, thorough: bool) -> str | None:
    """Why the response counts as an error, or None. `thorough`: check the results too."""
    if status != _OK:
        return f"{status} {_error_code(body)}".strip()
    return _flaw(task, json.loads(body)) if thorough else None


def _error_code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _flaw(task: SearchTask, answer: dict[str, Any]) -> str | None:
    results = answer["results"]
    scores = [match["score"] for match in results]
    photos = {match["photo_id"] for match in results}
    if len(results) > task.top_k:
        return "more results than top_k"
    if scores != sorted(scores, reverse=True):
        return "results out of order"
    if len(photos) != len(results):
        return "a photo twice"
    if task.collections and any(match["collection_id"] not in task.collections for match in results):
        return "a photo of another collection"
    return None
