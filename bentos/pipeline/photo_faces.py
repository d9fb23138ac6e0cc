"""Finds the faces of a decoded photo, at every turn that is needed: all of them, or only the one that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bentos.domain.faces import BoundingBox, Face, FacesInImage
from bentos.pipeline.chunks import in_chunks
from bentos.pipeline.face_pack import FaceCandidates, FacePack
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.regions import Part, centre_in
from bentos.pipeline.source import Source
from bentos.pipeline.steps import Work, refine
from bentos.pipeline.turned import next_turn, once_each

_FEW = 4
"""Candidates that are examined together where one face is looked for."""

_MAY_BE_MEANT = 0.2
"""Lowest IoU of a candidate with the box of the face that is looked for: a confirmed face may have another box."""

_MOST_REFUSED = 200
"""When so many candidates of one turn have been examined and none is a face, the others are not examined.

A picture of a thousand blurred faces would otherwise take five seconds, for close-up detections of each in every turn.
"""

Examine = Callable[[Source, Sequence[Face]], Work[list[Face]]]
"""Confirms candidates, best score first: the faces among them, with refined landmarks."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded image and the faces found in it."""

    image: ImagePyramid
    faces: tuple[Face, ...]
    left_out: int = 0

    @property
    def found(self) -> FacesInImage:
        """The faces without the pixels."""
        return FacesInImage(self.image.width, self.image.height, self.faces, self.left_out)


class PhotoFaces:
    """Finds faces with one face pack; for one thread at a time. Every method may raise `FaceSearchError`.

    `max_faces`: so many candidates with the best scores are examined. `large_size`: longer side of the detector's
    second pass over a large photo, pixels; 0 for none.
    """

    def __init__(self, pack: FacePack, *, max_faces: int, large_size: int) -> None:
        self._pack, self._max_faces, self._large_size = pack, max_faces, large_size

    def find(
        self,
        source: Source,
        *,
        region: BoundingBox | None = None,
        examine: Examine | None = None,
    ) -> Work[Seen]:
        """The faces in a decoded photo, or those whose centre lies in its `region`, best score first.

        `examine`: what confirms the candidates; default `every_face`.
        """
        examine = examine or self.every_face
        faces: list[Face] = []
        left_out = 0
        searched: list[int] = []
        while (turn := next_turn(searched, faces) if searched else 0) is not None:
            source.check()
            found = yield from self._candidates(source.image, turn, region)
            faces = once_each([*faces, *(yield from examine(source, found.all))])
            left_out = max(left_out, found.left_out)
            searched.append(turn)
        beyond = max(0, len(faces) - self._max_faces)
        return Seen(source.image, tuple(faces[: self._max_faces]), left_out + beyond)

    def every_face(self, source: Source, candidates: Sequence[Face]) -> Work[list[Face]]:
        """All faces among the candidates."""
        best, others = candidates[:_MOST_REFUSED], candidates[_MOST_REFUSED:]
        found = yield from self._settled(source, best)
        if others:
            if not (yield from _is_any_confirmed(source, found)):
                return []
            found += yield from self._settled(source, others)
        found = once_each(found)
        yield from source.sharpen_for(found)
        return (yield from confirmed(source, found))

    def largest_face(self, source: Source, candidates: Sequence[Face]) -> Work[list[Face]]:
        """The face with the largest box: candidates are examined, largest first, until one is a face."""
        for chunk in in_chunks(sorted(candidates, key=area_of, reverse=True)[:_MOST_REFUSED], _FEW):
            if faces := (yield from self.every_face(source, chunk)):
                return [max(faces, key=area_of)]
        return []

    def near(self, box: BoundingBox) -> Examine:
        """An `Examine` for the faces that may be the one at `box`; the other candidates are not examined."""

        def meant(source: Source, candidates: Sequence[Face]) -> Work[list[Face]]:
            return self.every_face(
                source, [face for face in candidates if face.bbox.iou(box) >= _MAY_BE_MEANT]
            )

        return meant

    def _settled(self, source: Source, candidates: Sequence[Face]) -> Work[list[Face]]:
        found: list[Face] = []
        for chunk in in_chunks(candidates):
            found += yield from settled(self._pack, source, chunk)
        return found

    def _candidates(self, image: ImagePyramid, turn: int, region: BoundingBox | None) -> Work[FaceCandidates]:
        if region is None:
            return (
                yield from self._pack.candidates(
                    image, most=self._max_faces, large_size=self._large_size, turn=turn
                )
            )
        part = Part.around(region, image)
        if part is None:
            return FaceCandidates([], [], 0)
        found = yield from self._pack.candidates(part.pixels, most=self._max_faces, turn=turn)
        sure, doubtful = (
            [face for face in map(part.in_photo, faces) if centre_in(face.bbox, region)]
            for faces in (found.sure, found.doubtful)
        )
        return FaceCandidates(sure, doubtful, found.left_out)


def settled(
    pack: FacePack, source: Source, candidates: Sequence[Face], most_turned: int | None = None
) -> Work[list[Face]]:
    """See `FacePack.settled`; not begun when no caller waits any more."""
    source.check()
    return (yield from pack.settled(source.image, candidates, most_turned))


def confirmed(source: Source, faces: Sequence[Face]) -> Work[list[Face]]:
    """The faces that the landmark model confirms, with its landmarks."""
    refined = yield from refine(source.image, faces)
    return [face for face in refined if face is not None]


def _is_any_confirmed(source: Source, faces: Sequence[Face]) -> Work[bool]:
    yield from source.sharpen_for(faces)
    for chunk in in_chunks(faces):
        if (yield from confirmed(source, chunk)):
            return True
    return False


def area_of(face: Face) -> float:
    """In square pixels."""
    return face.bbox.area
