"""Finds the faces of one image: decode, detect, refine.

The work is bounded: of what the detector finds, the `max_faces` surest are refined; of an image that should show one
face, the surest are examined, `CHUNK` at a time, until two are known to be faces. The work stops between two chunks
when the answer is not wanted any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bentos.domain.faces import BoundingBox, Face, FacesInImage
from bentos.imaging.decoding import DecodedImage, decode
from bentos.pipeline.alignment import magnification
from bentos.pipeline.chunks import CHUNK, in_chunks
from bentos.pipeline.face_pack import Candidates, FacePack
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.wanted import Check

# A decoder may shrink a large JPEG while it decodes, but never below this multiple of the detector's input.
_DETAIL = 2
_SELFIE_DETAIL = 1.5

# A face that would be enlarged by more than this for the recogniser is taken from the image at a larger scale: measured
# on reduced photos, faces wider than 112 px lose less than 0.01 of cosine, at 56 to 80 px 0.025 and up to 0.08.
_MOST_MAGNIFIED = 0.7

_REGION_MARGIN = 0.5

LISTED = 100
"""Most candidates in a selfie that may be examined, and that are listed; the others are only counted."""

_Find = Callable[[DecodedImage], Candidates]


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded image and the faces found in it."""

    image: DecodedImage
    faces: tuple[Face, ...]
    left_out: int = 0

    @property
    def found(self) -> FacesInImage:
        """The faces without the pixels."""
        return FacesInImage(self.image.width, self.image.height, self.faces, self.left_out)


class FaceFinding:
    """Finds faces with one face pack; for one thread at a time. Every method raises `FaceSearchError`.

    `selfie_size`: side of the detector's input for an image that should show one face, pixels.
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
    ) -> None:
        self._pack, self._clock = pack, clock
        self._max_pixels, self._max_jpeg_pixels, self._max_faces = max_pixels, max_jpeg_pixels, max_faces
        self._sizes = sorted({min(selfie_size, pack.detection_size), pack.detection_size})

    def photo(self, image: bytes, check: Check) -> Seen:
        """All faces with refined landmarks, the surest `max_faces` of them."""
        return self._all(image, self._candidates, check)

    def region(self, image: bytes, check: Check, region: BoundingBox) -> Seen:
        """The faces whose centre lies in `region`, searched for there alone."""
        return self._all(image, partial(self._candidates_in, region=region), check)

    def readable(self, image: bytes, check: Check, faces: Sequence[Face]) -> Seen:
        """Faces that are known, with the image as large as the recogniser needs it for them."""
        return Seen(self._decoded(image, check, shrink_to=1, min_scale=_sharp_scale(faces)), tuple(faces))

    def _all(self, image: bytes, find: _Find, check: Check) -> Seen:
        shrink_to = _DETAIL * self._pack.detection_size
        decoded = self._decoded(image, check, shrink_to=shrink_to)
        candidates = self._detected(decoded, find, check)
        if needed := self._larger_scale(decoded, candidates.faces, check):
            decoded = self._decoded(image, check, shrink_to=shrink_to, min_scale=needed)
            candidates = self._detected(decoded, find, check)
        faces: list[Face] = []
        for chunk in in_chunks(candidates.faces):
            faces += self._looked_at(self._pack.refined, decoded, chunk, check)
        return Seen(decoded, tuple(faces), candidates.left_out)

    def _larger_scale(self, decoded: DecodedImage, candidates: Sequence[Face], check: Check) -> float:
        """The scale that the smallest confirmed face needs; 0 where the image is large enough for all of them."""
        blurred = [face for face in candidates if _is_blurred(decoded, [face])]
        for chunk in in_chunks(sorted(blurred, key=lambda face: -_sharp_scale([face]))):
            if confirmed := self._looked_at(self._pack.confirmed, decoded, chunk, check):
                return _sharp_scale(confirmed)
        return 0.0

    def selfie(self, image: bytes, check: Check) -> Seen:
        """The only face with refined landmarks; or several as the detector found them.

        Several are the confirmed ones, and those less sure that were not examined any more.
        """
        for size in self._sizes:
            seen = self._selfie_at(image, size, check)
            if seen.faces:
                break
        return seen

    def _selfie_at(self, image: bytes, size: int, check: Check) -> Seen:
        detail = _SELFIE_DETAIL if size < self._pack.detection_size else _DETAIL
        shrink_to = round(detail * size)
        decoded = self._decoded(image, check, shrink_to=shrink_to)
        seen = self._one_or_several(decoded, size, check)
        if len(seen.faces) == 1 and _is_blurred(decoded, seen.faces):
            needed = _sharp_scale(seen.faces)
            decoded = self._decoded(image, check, shrink_to=shrink_to, min_scale=needed)
            return self._one_or_several(decoded, size, check)
        return seen

    def _one_or_several(self, decoded: DecodedImage, size: int, check: Check) -> Seen:
        find = partial(self._candidates, most=min(LISTED, self._max_faces), size=size)
        return self._examined(decoded, self._detected(decoded, find, check), check)

    def _examined(self, decoded: DecodedImage, candidates: Candidates, check: Check) -> Seen:
        possible = candidates.faces
        faces = possible if len(possible) == 1 else []  # refining it confirms it as well
        examined = len(faces)
        while examined < len(possible) and len(faces) <= 1:
            chunk = possible[examined : examined + CHUNK]
            faces = faces + self._looked_at(self._pack.confirmed, decoded, chunk, check)
            examined += len(chunk)
        if len(faces) > 1:
            return Seen(decoded, (*faces, *possible[examined:]), candidates.left_out)
        return Seen(decoded, tuple(self._looked_at(self._pack.refined, decoded, faces, check)))

    def _looked_at(
        self, look: Callable[..., list[Face]], decoded: DecodedImage, faces: Sequence[Face], check: Check
    ) -> list[Face]:
        check()
        with self._clock.timed("detect"):
            return look(decoded.pixels, faces, scale=decoded.scale)

    def _candidates(
        self, image: DecodedImage, most: int | None = None, size: int | None = None
    ) -> Candidates:
        return self._pack.candidates(
            image.pixels,
            scale=image.scale,
            width=image.width,
            height=image.height,
            most=most or self._max_faces,
            size=size,
        )

    def _candidates_in(self, image: DecodedImage, region: BoundingBox) -> Candidates:
        margin_x = (region.x2 - region.x1) * _REGION_MARGIN
        margin_y = (region.y2 - region.y1) * _REGION_MARGIN
        left = max(0, int((region.x1 - margin_x) * image.scale))
        top = max(0, int((region.y1 - margin_y) * image.scale))
        right = max(0, int((region.x2 + margin_x) * image.scale) + 1)
        bottom = max(0, int((region.y2 + margin_y) * image.scale) + 1)
        window = image.pixels[top:bottom, left:right]
        if 0 in window.shape:
            return Candidates([], 0)
        found = self._candidates(replace(image, pixels=window))
        faces = [_shift(face, left / image.scale, top / image.scale, image) for face in found.faces]
        return Candidates([face for face in faces if _centre_in(face.bbox, region)], found.left_out)

    def _decoded(self, image: bytes, check: Check, *, shrink_to: int, min_scale: float = 0.0) -> DecodedImage:
        """The image, no larger than asked for where the decoder can reduce it."""
        check()
        with self._clock.timed("decode"):
            return decode(
                image,
                max_pixels=self._max_pixels,
                max_jpeg_pixels=self._max_jpeg_pixels,
                shrink_to=shrink_to,
                min_scale=min_scale,
            )

    def _detected(self, image: DecodedImage, find: _Find, check: Check) -> Candidates:
        check()
        with self._clock.timed("detect"):
            return find(image)


def _sharp_scale(faces: Sequence[Face]) -> float:
    """The scale of the image from which none of these faces is enlarged too much for the recogniser; at most 1."""
    return min(1.0, max((magnification(face.landmarks) / _MOST_MAGNIFIED for face in faces), default=0.0))


def _is_blurred(image: DecodedImage, faces: Sequence[Face]) -> bool:
    """Whether the decoder has reduced the image further than these faces allow, and need not have."""
    return image.scale < min(_sharp_scale(faces), image.largest_scale)


def _shift(face: Face, dx: float, dy: float, image: DecodedImage) -> Face:
    box = face.bbox
    moved = (box.x1 + dx, box.y1 + dy, box.x2 + dx, box.y2 + dy)
    return replace(
        face,
        bbox=BoundingBox.clipped(moved, image.width, image.height),
        landmarks=tuple((x + dx, y + dy) for x, y in face.landmarks),
    )


def _centre_in(box: BoundingBox, region: BoundingBox) -> bool:
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return region.x1 <= x <= region.x2 and region.y1 <= y <= region.y2
