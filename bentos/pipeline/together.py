"""Works on a list of images at once, so that one run of a network can process faces of several images.

The work on one image is a generator, written like work on a single image; it yields a `Refine` where it needs refined
landmarks. The faces of all images that wait for their landmarks are refined together, in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import Face
from bentos.pipeline.chunks import in_chunks
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.wanted import Dropped, IsWanted

_MOST_PIXELS = 32_000_000
"""When the waiting images have more pixels than this, they are finished before another is decoded."""


@dataclass(frozen=True, slots=True)
class Refine:
    """Asks for the refined landmarks of `faces` of `image`."""

    image: ImagePyramid
    faces: Sequence[Face]


Refined = Sequence[Face | None]
"""The reply: each face with refined landmarks, or None when it is not confirmed; in the order of the request."""

_Result = TypeVar("_Result")

Work = Generator[Refine, Refined, _Result]
"""The work on one image; it may raise `FaceSearchError`."""

RefineAll = Callable[[Sequence[tuple[ImagePyramid, Face]]], Refined]
"""Refines the faces of several images in one run."""


def work_together(
    works: Iterable[Work[_Result]], refine: RefineAll, is_wanted: IsWanted
) -> list[_Result | FaceSearchError]:
    """The result of each work in order, or the error that it raised; `Dropped` when no caller waits for it any more."""
    batch: _Batch[_Result] = _Batch(refine, is_wanted)
    for number, work in enumerate(works):
        batch.start(number, work)
        if batch.pixels > _MOST_PIXELS:
            batch.finish()
    batch.finish()
    return [result for _, result in sorted(batch.results.items(), key=lambda item: item[0])]


class _Batch(Generic[_Result]):
    """The works in progress, and the results of the finished ones, by their numbers."""

    def __init__(self, refine: RefineAll, is_wanted: IsWanted) -> None:
        self.results: dict[int, _Result | FaceSearchError] = {}
        self._refine, self._is_wanted = refine, is_wanted
        self._waiting: dict[int, tuple[Work[_Result], Refine]] = {}

    @property
    def pixels(self) -> int:
        """The number of pixels of the waiting images."""
        return sum(request.image.pixels.size // 3 for _, request in self._waiting.values())

    def start(self, number: int, work: Work[_Result]) -> None:
        """Start a work, and run it until it waits for landmarks."""
        self._resume(number, work, partial(next, work))

    def finish(self) -> None:
        """Refine the requested landmarks and resume every work, until all are done."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            replies = self._replies({number: request for number, (_, request) in waiting.items()})
            for number, (work, request) in waiting.items():
                is_complete = len(replies[number]) == len(request.faces)
                go_on = partial(work.send, replies[number]) if is_complete else partial(work.throw, Dropped())
                self._resume(number, work, go_on)

    def _resume(self, number: int, work: Work[_Result], step: Callable[[], Refine]) -> None:
        try:
            self._waiting[number] = work, step()
        except StopIteration as done:
            self.results[number] = done.value
        except FaceSearchError as error:
            self.results[number] = error

    def _replies(self, requests: dict[int, Refine]) -> dict[int, list[Face | None]]:
        """The refined faces by number; fewer than requested where no caller waits for the answer any more."""
        replies: dict[int, list[Face | None]] = {number: [] for number in requests}
        faces = [(number, face) for number, request in requests.items() for face in request.faces]
        for chunk in in_chunks(faces):
            wanted = [(number, face) for number, face in chunk if self._is_wanted(number)]
            refined = self._refine([(requests[number].image, face) for number, face in wanted])
            for (number, _), face in zip(wanted, refined, strict=True):
                replies[number].append(face)
        return replies
