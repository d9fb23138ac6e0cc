"""What the change of a base to another face pack asks of the vector store, beside what the services ask of it."""

from __future__ import annotations

from typing import Protocol

from bentos.stores.base import VectorStore


class ReplacementVectorStore(VectorStore, Protocol):
    """The embeddings of another face pack: built beside those that are searched, then put in their place.

    `open` creates what is missing and leaves what is searched alone. `save_faces` does not wait until a search sees the
    faces, but `scan_faces` sees them. A removal concerns these embeddings alone.
    """

    async def exists(self) -> bool:
        """Whether there is a collection of this pack. Needs no `open`."""

    async def serves(self) -> bool:
        """Whether services that start now search this collection. Needs no `open`."""

    async def served(self) -> str | None:
        """The name of the collection that services that start now search, or None. Needs no `open`."""

    async def replaces_vectors(self) -> bool:
        """Whether it is another collection, and holds at least one face."""

    async def take_over(self) -> None:
        """Let services that start from now on search this collection. Those that run stay on theirs."""

    async def others(self) -> list[str]:
        """The names of the collections of other packs. Needs no `open`."""

    async def remove_others(self) -> list[str]:
        """Delete the collections of other packs; returns their names. Only once this one serves."""
