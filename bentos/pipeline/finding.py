"""Finds the faces of one image: detects them, determines their turn, refines their landmarks.

Every method is a generator (see `steps.Work`). The work is limited: of the faces detected in a photo, the
`max_faces` with the best scores are examined; in an image that should show one face, candidates are examined, best
first and `CHUNK` at a time, until two are confirmed. The work stops between two chunks when no caller waits any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from bentos.domain.faces import BoundingBox, Face, Landmarks, same_face
from bentos.imaging.decoding import DecodedImage, decode
from bentos.pipeline.chunks import in_chunks
from bentos.pipeline.face_pack import FaceCandidates, FacePack
from bentos.pipeline.large_photos import second_pass_side
from bentos.pipeline.photo_faces import Examine, PhotoFaces, Seen, area_of, confirmed, settled
from bentos.pipeline.quick import TRACE_THRESHOLD, only_face
from bentos.pipeline.regions import longer_side_around
from bentos.pipeline.source import Source, sharp_scale
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Work, refine, steady
from bentos.pipeline.turned import ALL_TURNS, once_each, turn_of
from bentos.pipeline.wanted import Check

# A decoder may reduce a large JPEG while it decodes, but never below this multiple of the detector's input.
_DETAIL = 2
_SELFIE_DETAIL = 1.5

LISTED = 100
"""Most candidates in a selfie that may be examined and listed; further candidates are only counted."""

_AT_ALL_SIZES = (0, 1)
"""Turns at which a selfie is searched at every size."""

_MOST_TURNED = 8
"""Most candidates of one detection in a selfie that are examined in four turns: noise has hundreds, 1 ms each."""


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
        self._photo_side = max(_DETAIL * pack.detection_size, large_size)
        self._photos = PhotoFaces(pack, max_faces=max_faces, large_size=large_size)

    def photo(self, file: bytes, check: Check) -> Work[Seen]:
        """All faces with refined landmarks, at most the `max_faces` best; a second pass finds the small ones."""
        return (yield from self._photo(file, check, self._photos.every_face))

    def largest(self, file: bytes, check: Check) -> Work[Seen]:
        """The face with the largest box, alone; smaller ones are not examined."""
        seen = yield from self._photo(file, check, self._photos.largest_face)
        return replace(seen, faces=tuple(sorted(seen.faces, key=area_of, reverse=True)[:1]), left_out=0)

    def at(self, file: bytes, check: Check, box: BoundingBox) -> Work[Seen]:
        """The face that overlaps `box` best (`same_face`), alone; those elsewhere are not examined.

        Faces elsewhere cannot tell how the photo is turned: every turn is searched until the face is found.
        """
        source = yield from self._photo_source(file, check)
        seen = yield from self._photos.find(source, examine=self._photos.near(box))
        face = same_face(box, seen.faces)
        return replace(seen, faces=() if face is None else (face,), left_out=0)

    def region(self, file: bytes, check: Check, region: BoundingBox) -> Work[Seen]:
        """The faces whose centre lies in `region`; only the region is searched, at the detector's full size."""
        source = self._source(file, check)
        enough = min(1.0, self._pack.detection_size / longer_side_around(region))
        yield from source.decode_for(_DETAIL * self._pack.detection_size, min_scale=enough)
        return (yield from self._photos.find(source, region=region))

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
        90°, 180° and 270°. Of several faces, two are confirmed; the others have lower scores and were not examined to
        the end.
        """
        source = self._source(file, check)
        attempt: _Attempt | None = None
        if self._quick_size:
            yield from source.decode_for(round(_SELFIE_DETAIL * self._sizes[0]))
            attempt = yield from self._attempt(source, self._quick_size, 0, lowest=TRACE_THRESHOLD)
            seen = yield from self._quickly(source, attempt)
            if seen.faces:
                return seen
        for turn in sorted(ALL_TURNS):
            sure: list[_Attempt] = []
            # A face that is large enough for the smaller size is also found in one of the first turns.
            for size in self._sizes if turn in _AT_ALL_SIZES else self._sizes[-1:]:
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
            return Seen(source.image, tuple((yield from confirmed(source, [face]))))
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
        found: list[Face] = []
        while left and len(faces) <= 1:
            while left and len(faces) + len(found) <= 1:
                found += yield from settled(self._pack, source, left.pop(0), most_turned)
                most_turned = 0
            if len(found) == 1 and not faces:
                yield from source.sharpen_for(found)
            while found and len(faces) <= 1:
                faces = once_each([*faces, *(yield from confirmed(source, [found.pop(0)]))])
        if len(faces) > 1:
            others = [face for chunk in left for face in chunk if attempt.is_sure]
            return Seen(source.image, (*faces, *found, *others), attempt.found.left_out)
        if (yield from source.sharpen_for(faces)):
            faces = yield from confirmed(source, faces)
        return Seen(source.image, tuple(faces))

    def _photo(self, file: bytes, check: Check, examine: Examine) -> Work[Seen]:
        source = yield from self._photo_source(file, check)
        return (yield from self._photos.find(source, examine=examine))

    def _photo_source(self, file: bytes, check: Check) -> Work[Source]:
        """The file, decoded as large as the detector's passes over a photo need; only a panorama is decoded twice."""
        source = self._source(file, check)
        yield from source.decode_for(self._photo_side)
        shorter, longer = sorted((source.image.width, source.image.height))
        yield from source.decode_for(second_pass_side(self._large_size, longer, shorter))
        return source

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
