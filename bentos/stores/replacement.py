"""The interface for changing to another face pack: a vector store that is filled before it replaces the current one."""

from __future__ import annotations

from typing import Protocol

from bentos.stores.base import VectorStore


class ReplacementVectorStore(VectorStore, Protocol):
    """The embeddings of another face pack: stored beside those in use, and then searched instead of them.

    `open` creates what is missing and does not change the collection in use. `save_faces` does not wait until a search
    finds the faces, but `scan_faces` returns them. A removal affects only these embeddings.
    """

    async def exists(self) -> bool:
        """Whether there is a collection of this pack. Needs no `open`."""

    async def serves(self) -> bool:
        """Whether services that start now use this collection. Needs no `open`."""

    async def served(self) -> str | None:
        """The name of the collection that services use when they start now, or None. Needs no `open`."""

    async def replaces_vectors(self) -> bool:
        """Whether it is another collection, and holds at least one face."""

    async def take_over(self) -> None:
        """Make services that start from now on use this collection. Running services keep theirs."""

    async def others(self) -> list[str]:
        """The names of the collections of other packs. Needs no `open`."""

    async def remove_others(self) -> list[str]:
        """Delete the collections of other packs; returns their names. Only allowed once this one is in use."""
