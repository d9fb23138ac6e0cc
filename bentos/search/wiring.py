"""Gives the routes of image-search their logic."""

from __future__ import annotations

from starlette.datastructures import State

from bentos.composition import Parts
from bentos.search.query import PhotoSearch


def attach_search(state: State, parts: Parts) -> None:
    """Set `state.photo_search`."""
    state.photo_search = PhotoSearch(
        finder=parts.finder,
        vectors=parts.vectors,
        images=parts.images,
        url_expires_s=parts.settings.url_expires_s,
    )
