"""From image bytes to faces, in three stages that can be measured apart: decode, detect, embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import BoundingBox, Face, FacesInImage, Landmarks
from bentos.imaging.decoding import DecodedImage, decode
from bentos.pipeline.alignment import magnification
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.stage_clock import StageClock

# A decoder may shrink a large JPEG while it decodes, but never below this multiple of the detector's input.
_DETAIL = 2
_SELFIE_DETAIL = 1.5

# A face that would be enlarged by more than this for the recogniser is taken from the image at a larger scale: measured
# on reduced photos, faces wider than 112 px lose less than 0.01 of cosine, at 56 to 80 px 0.025 and up to 0.08.
_MOST_MAGNIFIED = 0.7

_REGION_MARGIN = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image and the faces in it."""

    image: DecodedImage
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
        max_jpeg_pixels: int = 0,
        selfie_detection_size: int | None = None,
    ) -> None:
        self.clock = StageClock()
        self._pack = pack
        self._max_pixels, self._max_jpeg_pixels = max_pixels, max_jpeg_pixels
        self._selfie_size = min(selfie_detection_size or pack.detection_size, pack.detection_size)

    def detect(self, images: Sequence[bytes]) -> list[FacesInImage | FaceSearchError]:
        """The faces of each image, without embeddings."""
        return [_answer(self._see(image, self._photo)) for image in images]

    def detect_and_embed(self, images: Sequence[bytes]) -> list[FacesInImage | FaceSearchError]:
        """The faces of each image, each with its embedding; the recogniser runs once over all of them.

        Made for selfies: where a large face is found at their smaller detection size, that is enough.
        """
        return self._embedded([self._see_selfie(image) for image in images])

    def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> FacesInImage | FaceSearchError:
        """The embeddings of faces that were found before, in their order. Boxes of the answer are empty."""
        nowhere = BoundingBox(0.0, 0.0, 0.0, 0.0)
        known = tuple(Face(bbox=nowhere, score=0.0, landmarks=points) for points in landmarks)
        return self._embedded(
            [self._see(image, lambda _: known, shrink_to=1, min_scale=_sharp_scale(known))]
        )[0]

    def detect_in_region(self, image: bytes, region: BoundingBox) -> FacesInImage | FaceSearchError:
        """The faces whose centre lies in `region`, searched for there alone, at the detector's full size."""
        return _answer(self._see(image, lambda decoded: self._region(decoded, region)))

    def _see(
        self,
        image: bytes,
        find: Callable[[DecodedImage], tuple[Face, ...]],
        *,
        shrink_to: int | None = None,
        min_scale: float = 0.0,
    ) -> _Seen | FaceSearchError:
        """Decode the image no larger than the detector needs, and once more where a face needs a larger scale."""
        shrink_to = shrink_to or _DETAIL * self._pack.detection_size
        try:
            decoded, faces = self._look(image, find, shrink_to, min_scale)
            needed = _sharp_scale(faces)
            if decoded.scale < min(needed, decoded.largest_scale):
                decoded, faces = self._look(image, find, shrink_to, needed)
        except FaceSearchError as error:
            return error
        return _Seen(decoded, faces)

    def _see_selfie(self, image: bytes) -> _Seen | FaceSearchError:
        seen = self._see(image, self._selfie, shrink_to=round(_SELFIE_DETAIL * self._selfie_size))
        if isinstance(seen, _Seen) and not seen.faces and self._selfie_size < self._pack.detection_size:
            return self._see(image, self._photo)
        return seen

    def _look(
        self, image: bytes, find: Callable[[DecodedImage], tuple[Face, ...]], shrink_to: int, min_scale: float
    ) -> tuple[DecodedImage, tuple[Face, ...]]:
        with self.clock.timed("decode"):
            decoded = decode(
                image,
                max_pixels=self._max_pixels,
                max_jpeg_pixels=self._max_jpeg_pixels,
                shrink_to=shrink_to,
                min_scale=min_scale,
            )
        with self.clock.timed("detect"):
            return decoded, find(decoded)

    def _photo(self, image: DecodedImage, size: int | None = None) -> tuple[Face, ...]:
        faces = self._pack.detect(
            image.pixels, scale=image.scale, width=image.width, height=image.height, size=size
        )
        return tuple(faces)

    def _selfie(self, image: DecodedImage) -> tuple[Face, ...]:
        return self._photo(image, self._selfie_size)

    def _region(self, image: DecodedImage, region: BoundingBox) -> tuple[Face, ...]:
        margin_x = (region.x2 - region.x1) * _REGION_MARGIN
        margin_y = (region.y2 - region.y1) * _REGION_MARGIN
        left = max(0, int((region.x1 - margin_x) * image.scale))
        top = max(0, int((region.y1 - margin_y) * image.scale))
        right = max(0, int((region.x2 + margin_x) * image.scale) + 1)
        bottom = max(0, int((region.y2 + margin_y) * image.scale) + 1)
        window = image.pixels[top:bottom, left:right]
        if 0 in window.shape:
            return ()
        found = self._pack.detect(window, scale=image.scale, width=image.width, height=image.height)
        faces = [_shift(face, left / image.scale, top / image.scale, image) for face in found]
        return tuple(face for face in faces if _centre_in(face.bbox, region))

    def _embedded(self, images: Sequence[_Seen | FaceSearchError]) -> list[FacesInImage | FaceSearchError]:
        with self.clock.timed("align"):
            crops = [
                self._pack.crop(seen.image.pixels, face.landmarks, scale=seen.image.scale)
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


def _sharp_scale(faces: Sequence[Face]) -> float:
    """The scale of the image from which none of these faces is enlarged too much for the recogniser; at most 1."""
    return min(1.0, max((magnification(face.landmarks) / _MOST_MAGNIFIED for face in faces), default=0.0))


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
