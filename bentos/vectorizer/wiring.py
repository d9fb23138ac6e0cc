"""Gives the routes of image-vectorizer their logic."""

from __future__ import annotations

from starlette.datastructures import State

from bentos.composition import Parts
from bentos.vectorizer.indexing import Indexing


def attach_indexing(state: State, parts: Parts) -> None:
    """Set `state.indexing`."""
    state.indexing = Indexing(
        finder=parts.finder,
        metadata=parts.metadata,
        vectors=parts.vectors,
        images=parts.images,
        max_image_bytes=parts.settings.vectorize_max_image_bytes,
        lease_s=parts.settings.lease_s,
    )
