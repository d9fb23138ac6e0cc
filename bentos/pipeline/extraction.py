"""From lists of compressed images to faces and embeddings: decode, detect, align, embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import BoundingBox, Face, FacesInImage, Landmarks
from bentos.imaging.decoding import DecodedImage, decode
from bentos.pipeline.alignment import magnification
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.stage_clock import StageClock

# A decoder may shrink a large image while it decodes, but never below this multiple of the detector's input.
_DETAIL = 2

# A face that would be enlarged by more than this for the recogniser is taken from the image in full size: measured on
# reduced photos, faces wider than 112 px lose less than 0.01 of cosine, at 56 to 80 px 0.025 and up to 0.08.
_MOST_MAGNIFIED = 0.7

_REGION_MARGIN = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image and the faces in it."""

    image: ImagePyramid
    faces: tuple[Face, ...]

    def answer(self) -> FacesInImage:
        return FacesInImage(self.image.width, self.image.height, self.faces)


class Extraction:
    """The pipeline over one face pack. Every method takes compressed images and none raises for a single one:
    an image that fails leaves its error in its place. `clock` tells how long the stages took.
    """

    def __init__(
        self,
        pack: FacePack,
        *,
        max_pixels: int,
        selfie_detection_size: int | None = None,
        large_detection_size: int = 0,
    ) -> None:
        self.clock = StageClock()
        self._pack = pack
        self._max_pixels = max_pixels
        self._large_size = large_detection_size
        self._selfie_size = min(selfie_detection_size or pack.detection_size, pack.detection_size)

    def detect(self, images: Sequence[bytes]) -> list[FacesInImage | FaceSearchError]:
        """The faces of each image, without embeddings."""
        return [_answer(self._see(image, self._photo, detail=self._large_size)) for image in images]

    def detect_and_embed(self, images: Sequence[bytes]) -> list[FacesInImage | FaceSearchError]:
        """The faces of each image, each with its embedding; the recogniser runs once over all of them.

        Made for selfies: where a large face is found at their smaller detection size, that is enough.
        """
        return self._embedded([self._see(image, self._selfie) for image in images])

    def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> FacesInImage | FaceSearchError:
        """The embeddings of faces that were found before, in their order. Boxes of the answer are empty."""
        nowhere = BoundingBox(0.0, 0.0, 0.0, 0.0)
        known = [Face(bbox=nowhere, score=0.0, landmarks=points) for points in landmarks]
        return self._embedded([self._see(image, lambda _: known, refine=False)])[0]

    def detect_in_region(self, image: bytes, region: BoundingBox) -> FacesInImage | FaceSearchError:
        """The faces whose centre lies in `region`, searched for there alone, at the detector's full size."""
        return _answer(self._see(image, lambda seen: self._region(seen, region)))

    def _see(
        self,
        image: bytes,
        find: Callable[[ImagePyramid], list[Face]],
        *,
        detail: int = 0,
        refine: bool = True,
    ) -> _Seen | FaceSearchError:
        """The faces that `find` finds in the image reduced to what detection needs.

        Where one of them needs more pixels, the image is decoded in full and the landmarks are refined there.
        """
        try:
            seen = self._decoded(image, shrink_to=max(_DETAIL * self._pack.detection_size, detail))
            with self.clock.timed("detect"):
                faces = find(seen)
            if seen.scale < 1 and any(_is_blurred(face, seen.scale) for face in faces):
                seen = self._decoded(image)
                with self.clock.timed("detect"):
                    faces = self._pack.refined(seen, faces) if refine else faces
        except FaceSearchError as error:
            return error
        return _Seen(seen, tuple(faces))

    def _decoded(self, image: bytes, shrink_to: int | None = None) -> ImagePyramid:
        with self.clock.timed("decode"):
            return ImagePyramid(decode(image, max_pixels=self._max_pixels, shrink_to=shrink_to))

    def _photo(self, image: ImagePyramid) -> list[Face]:
        return self._pack.detect(image, large_size=self._large_size)

    def _selfie(self, image: ImagePyramid) -> list[Face]:
        for size in sorted({self._selfie_size, self._pack.detection_size}):
            faces = self._pack.detect(image, size=size)
            if faces:
                return faces
        return []

    def _region(self, image: ImagePyramid, region: BoundingBox) -> list[Face]:
        margin_x = (region.x2 - region.x1) * _REGION_MARGIN
        margin_y = (region.y2 - region.y1) * _REGION_MARGIN
        left = max(0, int((region.x1 - margin_x) * image.scale))
        top = max(0, int((region.y1 - margin_y) * image.scale))
        right = max(0, int((region.x2 + margin_x) * image.scale) + 1)
        bottom = max(0, int((region.y2 + margin_y) * image.scale) + 1)
        window = image.pixels[top:bottom, left:right]
        if 0 in window.shape:
            return []
        part = ImagePyramid(DecodedImage(window, image.width, image.height, image.scale))
        faces = [
            _shift(face, left / image.scale, top / image.scale, image) for face in self._pack.detect(part)
        ]
        return [face for face in faces if _centre_in(face.bbox, region)]

    def _embedded(self, images: Sequence[_Seen | FaceSearchError]) -> list[FacesInImage | FaceSearchError]:
        with self.clock.timed("align"):
            crops = [
                self._pack.crop(seen.image, face.landmarks)
                for seen in images
                if isinstance(seen, _Seen)
                for face in seen.faces
            ]
        with self.clock.timed("embed"):
            embeddings = iter(self._pack.embed([crop for crop in crops if crop is not None]))
        spread = iter([None if crop is None else next(embeddings) for crop in crops])
        return [
            replace(seen, faces=tuple(replace(f, embedding=next(spread)) for f in seen.faces)).answer()
            if isinstance(seen, _Seen)
            else seen
            for seen in images
        ]


def _answer(seen: _Seen | FaceSearchError) -> FacesInImage | FaceSearchError:
    return seen.answer() if isinstance(seen, _Seen) else seen


def _is_blurred(face: Face, scale: float) -> bool:
    return magnification(face.landmarks) / scale > _MOST_MAGNIFIED


def _shift(face: Face, dx: float, dy: float, image: ImagePyramid) -> Face:
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
