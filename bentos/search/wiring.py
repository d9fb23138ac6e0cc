"""Builds the objects that the routes of image-search use."""

from __future__ import annotations

from starlette.datastructures import State

from bentos.composition import Dependencies
from bentos.search.query import PhotoSearch


def attach_search(state: State, dependencies: Dependencies) -> None:
    """Set `state.photo_search`."""
    state.photo_search = PhotoSearch(
        finder=dependencies.finder,
        vectors=dependencies.vectors,
        images=dependencies.images,
        url_expires_s=dependencies.settings.url_expires_s,
    )
