"""From lists of compressed images to faces and embeddings: the methods of the runner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage, Landmarks
from bentos.pipeline.chunks import in_chunks
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.finding import FaceFinding, Seen
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.wanted import Check, Dropped, IsWanted, always_wanted, look_at_each

Answer = FacesInImage | FaceSearchError


@dataclass(frozen=True, slots=True)
class _Cut:
    """The aligned faces of an image, (112, 112, 3) uint8 BGR; None where the landmarks are degenerate.

    The pixels of the image itself are not kept, so that a batch holds one decoded image at a time.
    """

    found: FacesInImage
    crops: tuple[NDArray[np.uint8] | None, ...]


class Extraction:
    """The pipeline over one face pack; for one thread at a time.

    Every method takes compressed images and raises for none: an image that fails has its error in its place of the
    result, and an image that `is_wanted` says no to has `Dropped`. `clock` tells how long the stages took.
    """

    def __init__(
        self,
        pack: FacePack,
        *,
        max_pixels: int,
        max_jpeg_pixels: int = 0,
        max_faces: int = 1000,
        selfie_detection_size: int | None = None,
    ) -> None:
        self.clock = StageClock()
        self._pack = pack
        self._finding = FaceFinding(
            pack,
            self.clock,
            max_pixels=max_pixels,
            max_jpeg_pixels=max_jpeg_pixels,
            max_faces=max_faces,
            selfie_size=selfie_detection_size or pack.detection_size,
        )

    def detect(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """The faces of each image, without embeddings."""
        return look_at_each(images, lambda image, check: self._finding.photo(image, check).found, is_wanted)

    def detect_and_embed(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """The faces of each image, each with its embedding."""
        return self._embedded(
            images, lambda image, check: self._cut(self._finding.photo(image, check)), is_wanted
        )

    def embed_only_face(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """For images that should show one face: that face with its embedding, or all faces without.

        Where a face is found at the smaller detection size of selfies, that is enough. With more than one face the
        surest are listed, and the others are `left_out`.
        """

        def look(image: bytes, check: Check) -> _Cut:
            seen = self._finding.selfie(image, check)
            return self._cut(seen) if len(seen.faces) == 1 else _Cut(seen.found, ())

        return self._embedded(images, look, is_wanted)

    def embed(
        self, image: bytes, landmarks: Sequence[Landmarks], is_wanted: IsWanted = always_wanted
    ) -> Answer:
        """The embeddings of faces that were found before, in their order. Boxes of the answer are empty."""
        nowhere = BoundingBox(0.0, 0.0, 0.0, 0.0)
        known = [Face(bbox=nowhere, score=0.0, landmarks=points) for points in landmarks]
        return self._embedded(
            [image], lambda image, check: self._cut(self._finding.readable(image, check, known)), is_wanted
        )[0]

    def detect_in_region(
        self, image: bytes, region: BoundingBox, is_wanted: IsWanted = always_wanted
    ) -> Answer:
        """The faces whose centre lies in `region`, searched for there alone, at the detector's full size."""
        return look_at_each(
            [image], lambda image, check: self._finding.region(image, check, region).found, is_wanted
        )[0]

    def _embedded(
        self, images: Sequence[bytes], look: Callable[[bytes, Check], _Cut], is_wanted: IsWanted
    ) -> list[Answer]:
        """What `look` finds in each image, with embeddings; the chunks of the recogniser go across images."""
        with_crops = look_at_each(images, look, is_wanted)
        crops = [
            (number, crop)
            for number, cut in enumerate(with_crops)
            if isinstance(cut, _Cut)
            for crop in cut.crops
            if crop is not None
        ]
        embeddings: list[list[Embedding]] = [[] for _ in images]
        for chunk in in_chunks(crops):
            wanted = [(number, crop) for number, crop in chunk if is_wanted(number)]
            with self.clock.timed("embed"):
                made = self._pack.embed([crop for _, crop in wanted])
            for (number, _), embedding in zip(wanted, made, strict=True):
                embeddings[number].append(embedding)
        return [
            cut if isinstance(cut, FaceSearchError) else _with_embeddings(cut, made)
            for cut, made in zip(with_crops, embeddings, strict=True)
        ]

    def _cut(self, seen: Seen) -> _Cut:
        with self.clock.timed("align"):
            pixels, scale = seen.image.pixels, seen.image.scale
            crops = tuple(self._pack.crop(pixels, face.landmarks, scale=scale) for face in seen.faces)
        return _Cut(seen.found, crops)


def _with_embeddings(cut: _Cut, embeddings: Sequence[Embedding]) -> Answer:
    """The faces of one image with their embeddings; `Dropped` when not all of them were made."""
    if len(embeddings) < sum(crop is not None for crop in cut.crops):
        return Dropped()
    left = iter(embeddings)
    faces = (
        replace(face, embedding=None if crop is None else next(left))
        for face, crop in zip(cut.found.faces, cut.crops, strict=True)
    )
    return replace(cut.found, faces=tuple(faces)) if cut.crops else cut.found
