"""From image bytes to faces, in three stages that can be measured apart: decode, detect, embed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bentos.common.errors import FaceSearchError
from bentos.common.faces import BoundingBox, Face, FacesInImage, Landmarks
from bentos.runner.face_pack import FacePack
from bentos.runner.images import DecodedImage, decode

# A decoder may shrink a large image while it decodes, but never below this multiple of the detector's input:
# a face that the detector just sees (a few pixels there) keeps enough pixels for the recogniser.
_DETAIL = 2
_REGION_MARGIN = 0.5


class Extraction:
    """The pipeline over one face pack. Every method takes compressed images and none raises for a single one:
    an image that fails leaves its error in its place.
    """

    def __init__(self, pack: FacePack, *, max_pixels: int, selfie_detection_size: int | None = None) -> None:
        self._pack = pack
        self._max_pixels = max_pixels
        self._selfie_size = min(selfie_detection_size or pack.detection_size, pack.detection_size)

    def detect(self, images: Sequence[bytes]) -> list[FacesInImage | FaceSearchError]:
        """The faces of each image, without embeddings."""
        return [self._found(self._decode(image)) for image in images]

    def detect_and_embed(self, images: Sequence[bytes]) -> list[FacesInImage | FaceSearchError]:
        """The faces of each image, each with its embedding; the recogniser runs once over all of them.

        Made for selfies: where a large face is found at their smaller detection size, that is enough.
        """
        decoded = [self._decode(image) for image in images]
        return self._embedded(decoded, [self._found_in_selfie(image) for image in decoded])

    def embed(self, image: bytes, landmarks: Sequence[Landmarks]) -> FacesInImage | FaceSearchError:
        """The embeddings of faces that were found before, in their order. Boxes of the answer are empty."""
        decoded = self._decode(image)
        if isinstance(decoded, FaceSearchError):
            return decoded
        nowhere = BoundingBox(0.0, 0.0, 0.0, 0.0)
        faces = tuple(Face(bbox=nowhere, score=0.0, landmarks=points) for points in landmarks)
        found = FacesInImage(decoded.width, decoded.height, faces)
        return self._embedded([decoded], [found])[0]

    def detect_in_region(self, image: bytes, region: BoundingBox) -> FacesInImage | FaceSearchError:
        """The faces whose centre lies in `region`, searched for there alone, at the detector's full size."""
        decoded = self._decode(image)
        if isinstance(decoded, FaceSearchError):
            return decoded
        margin_x = (region.x2 - region.x1) * _REGION_MARGIN
        margin_y = (region.y2 - region.y1) * _REGION_MARGIN
        left = max(0, int((region.x1 - margin_x) * decoded.scale))
        top = max(0, int((region.y1 - margin_y) * decoded.scale))
        right = int((region.x2 + margin_x) * decoded.scale) + 1
        bottom = int((region.y2 + margin_y) * decoded.scale) + 1
        window = decoded.pixels[top:bottom, left:right]
        if 0 in window.shape:
            return FacesInImage(decoded.width, decoded.height, ())
        shifted = self._pack.detect(window, scale=decoded.scale, width=decoded.width, height=decoded.height)
        faces = [_shift(face, left / decoded.scale, top / decoded.scale, decoded) for face in shifted]
        inside = tuple(face for face in faces if _centre_in(face.bbox, region))
        return FacesInImage(decoded.width, decoded.height, inside)

    def _decode(self, image: bytes) -> DecodedImage | FaceSearchError:
        try:
            return decode(image, max_pixels=self._max_pixels, shrink_to=_DETAIL * self._pack.detection_size)
        except FaceSearchError as error:
            return error

    def _found(
        self, image: DecodedImage | FaceSearchError, size: int | None = None
    ) -> FacesInImage | FaceSearchError:
        if isinstance(image, FaceSearchError):
            return image
        faces = self._pack.detect(
            image.pixels, scale=image.scale, width=image.width, height=image.height, size=size
        )
        return FacesInImage(image.width, image.height, tuple(faces))

    def _found_in_selfie(self, image: DecodedImage | FaceSearchError) -> FacesInImage | FaceSearchError:
        found = self._found(image, self._selfie_size)
        if (
            isinstance(found, FacesInImage)
            and not found.faces
            and self._selfie_size != self._pack.detection_size
        ):
            return self._found(image)
        return found

    def _embedded(
        self,
        images: Sequence[DecodedImage | FaceSearchError],
        found: Sequence[FacesInImage | FaceSearchError],
    ) -> list[FacesInImage | FaceSearchError]:
        crops = []
        for image, faces in zip(images, found, strict=True):
            if isinstance(image, DecodedImage) and isinstance(faces, FacesInImage):
                crops += [self._pack.crop(image.pixels, f.landmarks, scale=image.scale) for f in faces.faces]
        embeddings = iter(self._pack.embed([crop for crop in crops if crop is not None]))
        spread = iter([None if crop is None else next(embeddings) for crop in crops])
        return [
            replace(faces, faces=tuple(replace(f, embedding=next(spread)) for f in faces.faces))
            if isinstance(faces, FacesInImage)
            else faces
            for faces in found
        ]


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
