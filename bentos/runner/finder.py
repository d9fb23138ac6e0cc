"""`FaceFinder`, the interface through which services find faces, and its methods as requests to the pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from bentos.domain.faces import BoundingBox, Embedding, FacesInImage, Landmarks
from bentos.pipeline.methods import Method
from bentos.runner.codec import Request


class FaceFinder(Protocol):
    """Finds faces in images.

    Every method takes the bytes of a JPEG, PNG or WebP image and raises `InvalidImageFormat`, `ImageTooLarge` (more
    pixels than the limit), `Overloaded`, or `DependencyUnavailable` when the runner does not answer in time.
    """

    async def detect(self, image: bytes) -> FacesInImage:
        """All faces, without embeddings."""

    async def detect_and_embed(self, image: bytes) -> FacesInImage:
        """All faces, each with its embedding; those below INDEX_MIN_FACE_SIZE, or degenerate, without."""

    async def embed_only_face(self, image: bytes) -> FacesInImage:
        """For an image that should show one face: that face with its embedding; or several faces without."""

    async def embed_largest_face(self, image: bytes) -> FacesInImage:
        """The face with the largest box and its embedding; no other face."""

    async def embed_at(self, image: bytes, box: BoundingBox) -> FacesInImage:
        """All faces. Only the face at the box has its embedding: the face that overlaps the box best (`same_face`), or
        else the best face that is found in the region of the box. If there is none, no face has an embedding.
        """

    async def embed_only_at(self, image: bytes, box: BoundingBox) -> FacesInImage:
        """The detected face that overlaps the box best (`same_face`) and its embedding; no other face."""

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """One embedding for each face, (dim,) float32, L2-normalised; None where the landmarks are degenerate."""

    @property
    def is_full(self) -> bool:
        """Whether the next image would be refused as `Overloaded`."""

    async def check(self) -> None:
        """Return when the process that would get the next image answers. Raises `DependencyUnavailable`."""

    async def close(self) -> None:
        """Close all connections. No method may be called afterwards."""


class FinderByMethod(ABC):
    """The base of every `FaceFinder`: finding faces is one request for a method of the pipeline, by its name."""

    async def detect(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("detect", Request(image))

    async def detect_and_embed(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("detect_and_embed", Request(image))

    async def embed_only_face(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("embed_only_face", Request(image))

    async def embed_largest_face(self, image: bytes) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("embed_largest_face", Request(image))

    async def embed_at(self, image: bytes, box: BoundingBox) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("embed_at", Request(image, box=box))

    async def embed_only_at(self, image: bytes, box: BoundingBox) -> FacesInImage:
        """See `FaceFinder`."""
        return await self._ask("embed_only_at", Request(image, box=box))

    async def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> list[Embedding | None]:
        """See `FaceFinder`."""
        found = await self._ask("embed", Request(image, landmarks=tuple(landmarks)))
        return [face.embedding for face in found.faces]

    @abstractmethod
    async def _ask(self, method: Method, request: Request) -> FacesInImage:
        """The answer of this method of `Extraction` for one image. Raises as `FaceFinder` says."""
