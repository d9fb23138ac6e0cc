"""Gives the routes of image-vectorizer their logic."""

from __future__ import annotations

from starlette.datastructures import State

from bentos.composition import Parts
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.removal import Removal
from bentos.vectorizer.uninterrupted import uninterrupted


def indexing_of(parts: Parts) -> tuple[Indexing, Removal]:
    """The logic over these parts."""
    metadata = uninterrupted(parts.metadata)
    vectors, images = uninterrupted(parts.vectors), uninterrupted(parts.images)
    leases = PhotoLeases(metadata, lease_s=parts.settings.lease_s)
    indexing = Indexing(
        finder=parts.finder,
        metadata=metadata,
        vectors=vectors,
        images=images,
        max_image_bytes=parts.settings.vectorize_max_image_bytes,
        leases=leases,
    )
    return indexing, Removal(metadata=metadata, vectors=vectors, images=images, leases=leases)


def attach_indexing(state: State, parts: Parts) -> None:
    """Set `state.indexing` and `state.removal`."""
    state.indexing, state.removal = indexing_of(parts)
