"""Finds the faces of one image: detects them, determines their turn, refines their landmarks.

Every method is a generator (see `steps.Work`). The work is limited: of the faces detected in a photo, the
`max_faces` with the best scores are examined; in an image that should show one face, candidates are examined, best
first and `CHUNK` at a time, until two are confirmed. The work stops between two chunks when no caller waits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bentos.domain.faces import BoundingBox, Face, FacesInImage, Landmarks
from bentos.imaging.decoding import DecodedImage, decode
from bentos.pipeline.chunks import in_chunks
from bentos.pipeline.face_pack import FaceCandidates, FacePack
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.quick import TRACE_THRESHOLD, only_face
from bentos.pipeline.regions import Part, centre_in, longer_side_around
from bentos.pipeline.source import Source, sharp_scale
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Work, refine, steady
from bentos.pipeline.turned import next_turn, once_each, turn_of
from bentos.pipeline.wanted import Check

# A decoder may reduce a large JPEG while it decodes, but never below this multiple of the detector's input.
_DETAIL = 2
_SELFIE_DETAIL = 1.5

LISTED = 100
"""Most candidates in a selfie that may be examined and listed; further candidates are only counted."""

_MOST_TURNED = 8
"""Most candidates of one detection in a selfie that are examined in four turns: noise has hundreds, 1 ms each."""

_Find = Callable[[ImagePyramid, int], Work[FaceCandidates]]


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


class _Attempt(NamedTuple):
    """One way to find the face of a selfie.

    `found`: by the detector with an input of `size` pixels, in the photo turned by `turn` times 90°. `is_sure`: examine
    the sure candidates; otherwise the doubtful ones with the best scores.
    """

    found: FaceCandidates
    size: int
    turn: int
    is_sure: bool = True

    @property
    def candidates(self) -> Sequence[Face]:
        """The candidates to examine, best score first."""
        return self.found.sure if self.is_sure else self.found.doubtful[:_MOST_TURNED]


class FaceFinding:
    """Finds faces with one face pack; for one thread at a time. Every method may raise `FaceSearchError`.

    `selfie_size`: side of the detector's input for an image that should show one face, pixels.
    `quick_size`: side of the first input for such an image, at most `selfie_size`; an ordinary selfie needs only this
    detection and the looks of the landmark model. 0: every selfie is examined in full.
    `large_size`: longer side of the detector's second pass over a large photo, pixels; 0 for none.
    """

    def __init__(
        self,
        pack: FacePack,
        clock: StageClock,
        *,
        max_pixels: int,
        max_jpeg_pixels: int,
        max_faces: int,
        selfie_size: int,
        quick_size: int,
        large_size: int,
    ) -> None:
        self._pack, self._clock = pack, clock
        self._max_pixels, self._max_jpeg_pixels, self._max_faces = max_pixels, max_jpeg_pixels, max_faces
        self._sizes = sorted({min(selfie_size, pack.detection_size), pack.detection_size})
        self._quick_size = min(quick_size, self._sizes[0])
        self._large_size = large_size

    def photo(self, file: bytes, check: Check) -> Work[Seen]:
        """All faces with refined landmarks, at most the `max_faces` best; a second pass finds the small ones."""
        source = self._source(file, check)
        yield from source.decode_for(max(_DETAIL * self._pack.detection_size, self._large_size))
        return (yield from self._at_every_turn(source, self._in_photo))

    def region(self, file: bytes, check: Check, region: BoundingBox) -> Work[Seen]:
        """The faces whose centre lies in `region`; only the region is searched, at the detector's full size."""
        source = self._source(file, check)
        enough = min(1.0, self._pack.detection_size / longer_side_around(region))
        yield from source.decode_for(_DETAIL * self._pack.detection_size, min_scale=enough)
        return (
            yield from self._at_every_turn(source, lambda image, turn: self._in_region(image, turn, region))
        )

    def known(self, file: bytes, check: Check, landmarks: Sequence[Landmarks]) -> Work[Seen]:
        """Faces whose landmarks a detector or an older aligner has found, with refined landmarks; without boxes.

        A face that the landmark model does not confirm keeps the given landmarks.
        """
        nowhere = BoundingBox(0.0, 0.0, 0.0, 0.0)
        faces = [Face(bbox=nowhere, score=0.0, landmarks=points) for points in landmarks]
        source = self._source(file, check)
        yield from source.decode_for(1, min_scale=sharp_scale(faces))
        refined = yield from refine(source.image, faces)
        return Seen(source.image, tuple(new or old for new, old in zip(refined, faces, strict=True)))

    def selfie(self, file: bytes, check: Check) -> Work[Seen]:
        """The only face with refined landmarks; or several faces, which are only listed.

        Sure candidates are examined first, then doubtful ones; if there is no face, the same in the photo turned by
        90°. Of several faces, two are confirmed; the others have lower scores and were not examined to the end.
        """
        source = self._source(file, check)
        attempt: _Attempt | None = None
        if self._quick_size:
            yield from source.decode_for(round(_SELFIE_DETAIL * self._sizes[0]))
            attempt = yield from self._attempt(source, self._quick_size, 0, lowest=TRACE_THRESHOLD)
            seen = yield from self._quickly(source, attempt)
            if seen.faces:
                return seen
        for turn in (0, 1):
            sure: list[_Attempt] = []
            for size in self._sizes:
                detail = _SELFIE_DETAIL if size < self._pack.detection_size else _DETAIL
                yield from source.decode_for(round(detail * size))
                if attempt is None or (attempt.size, attempt.turn) != (size, turn):
                    attempt = yield from self._attempt(source, size, turn)
                sure.append(attempt)
                seen = yield from self._face_of(source, sure[-1])
                if seen.faces:
                    return seen
            for attempt in sure:
                seen = yield from self._face_of(source, attempt._replace(is_sure=False))
                if seen.faces:
                    return seen
        return seen

    def _quickly(self, source: Source, attempt: _Attempt) -> Work[Seen]:
        """The face of an ordinary selfie: it is large, and the detector sees no trace of another; else no face.

        When all looks of the landmark model agree, the face is upright and there is no need to compare its turns.
        """
        candidate = only_face(attempt.found, source.image)
        if candidate is None:
            return Seen(source.image, ())
        yield from source.sharpen_for([candidate])
        face = yield from steady(source.image, candidate)
        if face is None or turn_of(face):
            return (yield from self._face_of(source, attempt))
        if (yield from source.sharpen_for([face])):
            return Seen(source.image, tuple((yield from self._refined(source, [face]))))
        return Seen(source.image, (face,))

    def _face_of(self, source: Source, attempt: _Attempt) -> Work[Seen]:
        """The faces of one attempt; of a single face that is turned, with those of the photo turned like it."""
        seen = yield from self._one_or_several(source, attempt)
        if len(seen.faces) != 1 or (turn := turn_of(seen.faces[0])) == attempt.turn:
            return seen
        # Other faces with the same turn are detected well only when the photo is turned.
        again = yield from self._attempt(source, max(attempt.size, self._sizes[0]), turn)
        others = yield from self._one_or_several(source, again)
        faces = once_each([*seen.faces, *others.faces])
        return Seen(source.image, tuple(faces), others.left_out)

    def _attempt(self, source: Source, size: int, turn: int, lowest: float | None = None) -> Work[_Attempt]:
        source.check()
        found = yield from self._pack.candidates(
            source.image, most=min(LISTED, self._max_faces), size=size, turn=turn, lowest=lowest
        )
        return _Attempt(found, size, turn)

    def _one_or_several(self, source: Source, attempt: _Attempt) -> Work[Seen]:
        """Examine candidates until two are confirmed; those not examined to the end are listed with the two."""
        left = list(in_chunks(attempt.candidates))
        most_turned = _MOST_TURNED
        faces: list[Face] = []
        settled: list[Face] = []
        while left and len(faces) <= 1:
            while left and len(faces) + len(settled) <= 1:
                settled += yield from self._settled(source, left.pop(0), most_turned)
                most_turned = 0
            if len(settled) == 1 and not faces:
                yield from source.sharpen_for(settled)
            while settled and len(faces) <= 1:
                faces = once_each([*faces, *(yield from self._refined(source, [settled.pop(0)]))])
        if len(faces) > 1:
            others = [face for chunk in left for face in chunk if attempt.is_sure]
            return Seen(source.image, (*faces, *settled, *others), attempt.found.left_out)
        if (yield from source.sharpen_for(faces)):
            faces = yield from self._refined(source, faces)
        return Seen(source.image, tuple(faces))

    def _at_every_turn(self, source: Source, find: _Find) -> Work[Seen]:
        """The faces of a decoded photo at every turn that is needed, best score first."""
        faces: list[Face] = []
        left_out = 0
        searched: list[int] = []
        while (turn := next_turn(searched, faces) if searched else 0) is not None:
            source.check()
            found = yield from find(source.image, turn)
            settled: list[Face] = []
            for chunk in in_chunks(found.all):
                settled += yield from self._settled(source, chunk)
            settled = once_each(settled)
            yield from source.sharpen_for(settled)
            faces = once_each([*faces, *(yield from self._refined(source, settled))])
            left_out = max(left_out, found.left_out)
            searched.append(turn)
        beyond = max(0, len(faces) - self._max_faces)
        return Seen(source.image, tuple(faces[: self._max_faces]), left_out + beyond)

    def _in_photo(self, image: ImagePyramid, turn: int) -> Work[FaceCandidates]:
        return self._pack.candidates(image, most=self._max_faces, large_size=self._large_size, turn=turn)

    def _in_region(self, image: ImagePyramid, turn: int, region: BoundingBox) -> Work[FaceCandidates]:
        part = Part.around(region, image)
        if part is None:
            return FaceCandidates([], [], 0)
        found = yield from self._pack.candidates(part.pixels, most=self._max_faces, turn=turn)
        sure, doubtful = (
            [face for face in map(part.in_photo, faces) if centre_in(face.bbox, region)]
            for faces in (found.sure, found.doubtful)
        )
        return FaceCandidates(sure, doubtful, found.left_out)

    def _settled(
        self, source: Source, candidates: Sequence[Face], most_turned: int | None = None
    ) -> Work[list[Face]]:
        source.check()
        return (yield from self._pack.settled(source.image, candidates, most_turned))

    @staticmethod
    def _refined(source: Source, faces: Sequence[Face]) -> Work[list[Face]]:
        """The faces that the landmark model confirms, with its landmarks."""
        refined = yield from refine(source.image, faces)
        return [face for face in refined if face is not None]

    def _source(self, file: bytes, check: Check) -> Source:
        return Source(file, self._decoded, check)

    def _decoded(self, file: bytes, *, shrink_to: int, min_scale: float) -> DecodedImage:
        with self._clock.timed("decode"):
            return decode(
                file,
                max_pixels=self._max_pixels,
                max_jpeg_pixels=self._max_jpeg_pixels,
                shrink_to=shrink_to,
                min_scale=min_scale,
            )
