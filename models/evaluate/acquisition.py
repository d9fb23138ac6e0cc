"""One embedding for each image, made as the product makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import Face, FacesInImage

State = Literal["acquired", "no face", "not read"]


class FaceSource(Protocol):
    """The part of `bentos.pipeline.extraction.Extraction` that is used here."""

    def detect_and_embed(self, images: Sequence[bytes]) -> Sequence[FacesInImage | FaceSearchError]:
        """The faces of each image with their embeddings, or the error of that image."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What became of one image.

    `reason`: why there is no embedding; empty when there is one. `faces`: how many faces the image shows.
    """

    state: State
    reason: str = ""
    faces: int = 0


@dataclass(frozen=True, slots=True)
class Acquired:
    """What became of each image. `embeddings`: (n, dim) float32, a row of zeros where there is none."""

    images: tuple[Acquisition, ...]
    embeddings: NDArray[np.float32]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) bool: whether there is an embedding."""
        return np.array([image.state == "acquired" for image in self.images], dtype=np.bool_)


def acquire(
    source: FaceSource, images: Sequence[Path], *, dimension: int, max_bytes: int, done: Callable[[], object]
) -> Acquired:
    """Read each image once and embed its largest face; one image at a time is in memory. Calls `done` after each.

    A file that the system or the product refuses to read is "not read"; one without a usable face is "no face".
    """
    embeddings = np.zeros((len(images), dimension), dtype=np.float32)
    outcomes = []
    for number, path in enumerate(images):
        found = _faces(source, path, max_bytes)
        if isinstance(found, Acquisition):
            outcomes.append(found)
        elif (face := _largest(found.faces)) is None or face.embedding is None:
            reason = (
                "no face was found" if face is None else "the landmarks of the largest face cannot be aligned"
            )
            outcomes.append(Acquisition("no face", reason, found.count))
        else:
            embeddings[number] = face.embedding
            outcomes.append(Acquisition("acquired", faces=found.count))
        done()
    return Acquired(tuple(outcomes), embeddings)


def _faces(source: FaceSource, path: Path, max_bytes: int) -> FacesInImage | Acquisition:
    try:
        if not path.is_file():
            return Acquisition("not read", "not a file" if path.exists() else "no such file")
        if path.stat().st_size > max_bytes:
            return Acquisition("not read", f"more than {max_bytes} bytes (VECTORIZE_MAX_IMAGE_MB)")
        image = path.read_bytes()
    except OSError as error:
        return Acquisition("not read", error.strerror or type(error).__name__)
    found = source.detect_and_embed([image])[0]
    return Acquisition("not read", found.message) if isinstance(found, FaceSearchError) else found


def _largest(faces: Sequence[Face]) -> Face | None:
    return max(faces, key=lambda face: face.bbox.area, default=None)
