"""A vectorizer that kills itself after a chosen write, with stores that count their writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from bentos.composition import Dependencies
from bentos.domain.errors import DependencyUnavailable
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage, Landmarks
from bentos.domain.ids import image_digest
from bentos.vectorizer.wiring import indexing_of
from tests.system.real.stack import dependencies_of

WRITES = {
    "begin_detection",
    "finish_detection",
    "finish_detection_and_begin_indexing",
    "begin_indexing",
    "finish_indexing",
    "begin_removal",
    "begin_face_removal",
    "begin_removals",
    "finish_removals",
    "save_faces",
    "remove_photos",
    "remove_faces",
    "put",
    "delete",
}
_TRIES = 10
Deed = Literal["detect", "index", "add", "remove", "remove_face", "purge", "remove_all"]


@dataclass
class Steps:
    """The writes so far, in order. `ended` is called after each write, and may kill the process."""

    ended: Callable[[list[str]], None]
    made: list[str] = field(default_factory=list)

    def make(self, name: str) -> None:
        self.made.append(name)
        self.ended(self.made)


class Counted:
    """A store whose writes are counted as steps."""

    def __init__(self, store: Any, dependencies: CountedDependencies) -> None:
        self._store, self._dependencies = store, dependencies

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in WRITES:
            return verb

        async def counted(*arguments: Any, **named: Any) -> Any:
            answer = await verb(*arguments, **named)
            self._dependencies.steps.make(name)
            return answer

        return counted


class CountedDependencies(Dependencies):
    """Dependencies whose stores count their writes in `steps`."""

    steps = Steps(lambda _made: None)

    @cached_property
    def vectors(self) -> Any:
        return Counted(super().vectors, self)

    @cached_property
    def metadata(self) -> Any:
        return Counted(super().metadata, self)

    @cached_property
    def images(self) -> Any:
        return Counted(super().images, self)


class TwoFaces:
    """A `FaceFinder` that finds two faces in any bytes, always the same for the same bytes, without a model."""

    _boxes = (BoundingBox(10, 10, 40, 40), BoundingBox(50, 10, 80, 40))

    async def detect(self, _image: bytes) -> FacesInImage:
        marks = [tuple((box.x1 + n, box.y1 + n) for n in range(5)) for box in self._boxes]
        faces = [Face(box, 0.9, mark) for box, mark in zip(self._boxes, marks, strict=True)]
        return FacesInImage(100, 50, tuple(faces))

    async def detect_and_embed(self, image: bytes) -> FacesInImage:
        found = await self.detect(image)
        return replace(
            found,
            faces=tuple(replace(face, embedding=embedding_of(image, face.landmarks)) for face in found.faces),
        )

    async def embed_at(self, _image: bytes, _box: BoundingBox) -> FacesInImage:
        return FacesInImage(100, 50, ())

    async def embed(self, image: bytes, landmarks: list[Landmarks]) -> list[Embedding | None]:
        return [embedding_of(image, mark) for mark in landmarks]


def embedding_of(image: bytes, landmarks: Landmarks) -> Embedding:
    """The embedding that `TwoFaces` returns for a face, a unit vector."""
    seed = int(image_digest(image)[:8], 16) + int(landmarks[0][0])
    vector = np.random.default_rng(seed).normal(size=512).astype(np.float32)
    return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class Subject:
    """The photo that an action is applied to, the only one in its collection."""

    photo_id: str
    image: bytes
    face_ids: tuple[str, ...] = ()

    @property
    def collection_id(self) -> str:
        return f"of-{self.photo_id}"


async def do(deed: Deed, subject: Subject, dependencies: Dependencies) -> None:
    """One call of the API, without HTTP."""
    indexing, removal = indexing_of(dependencies)
    if deed == "detect":
        await indexing.detect_uploaded(
            subject.image, "image/jpeg", photo_id=subject.photo_id, collection_id=subject.collection_id
        )
    elif deed == "index":
        await indexing.index_uploaded(
            subject.image, "image/jpeg", photo_id=subject.photo_id, collection_id=subject.collection_id
        )
    elif deed == "add":
        await indexing.index_face(subject.face_ids[0], collection_id=None)
    elif deed == "remove_face":
        await removal.remove_face(subject.photo_id, subject.face_ids[0])
    elif deed == "remove_all":
        await removal.remove_all(collection_id=subject.collection_id)
    else:
        await removal.remove_photo(subject.photo_id, purge=deed == "purge")


def do_and_die(environment: dict[str, str], deed: Deed, subject: Subject, after: int) -> None:
    """Run the call in a child process, which kills itself after this number of steps."""

    def end(made: list[str]) -> None:
        if len(made) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    async def live() -> None:
        dependencies = dependencies_of(environment, TwoFaces(), CountedDependencies)
        dependencies.steps = Steps(end)
        for store in (dependencies.metadata, dependencies.vectors, dependencies.images):
            await _opened(store)
        await do(deed, subject, dependencies)

    asyncio.run(live())


async def _opened(store: Any) -> None:
    """Open it, also on a machine that is so busy that the first answers come too late."""
    for _ in range(_TRIES):
        with contextlib.suppress(DependencyUnavailable):
            return await store.open()
    return await store.open()
