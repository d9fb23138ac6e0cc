"""Builds the objects that the routes of image-vectorizer use."""

from __future__ import annotations

from starlette.datastructures import State

from bentos.composition import Dependencies
from bentos.vectorizer.indexing import Indexing
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.removal import Removal
from bentos.vectorizer.uninterrupted import uninterrupted


def indexing_of(dependencies: Dependencies) -> tuple[Indexing, Removal]:
    """The `Indexing` and the `Removal` that use these dependencies."""
    metadata = uninterrupted(dependencies.metadata)
    vectors, images = uninterrupted(dependencies.vectors), uninterrupted(dependencies.images)
    leases = PhotoLeases(metadata, lease_s=dependencies.settings.lease_s)
    indexing = Indexing(
        finder=dependencies.finder,
        metadata=metadata,
        vectors=vectors,
        images=images,
        max_image_bytes=dependencies.settings.vectorize_max_image_bytes,
        leases=leases,
        index_min_size=dependencies.settings.index_min_face_size,
    )
    return indexing, Removal(metadata=metadata, vectors=vectors, images=images, leases=leases)


def attach_indexing(state: State, dependencies: Dependencies) -> None:
    """Set `state.indexing` and `state.removal`."""
    state.indexing, state.removal = indexing_of(dependencies)
