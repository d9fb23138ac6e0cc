"""The methods of the runner: from lists of compressed images to faces and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage, Landmarks, same_face
from bentos.pipeline.chunks import in_chunks
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.finding import FaceFinding, Seen
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.together import Refined, Work, work_together
from bentos.pipeline.wanted import Check, Dropped, IsWanted, always_wanted, check_of

Answer = FacesInImage | FaceSearchError

_Request = TypeVar("_Request")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Cut:
    """The aligned faces of an image, (112, 112, 3) uint8 BGR; None where the landmarks are degenerate.

    The pixels of the image itself are not kept while its faces wait for the recogniser.
    """

    found: FacesInImage
    crops: tuple[NDArray[np.uint8] | None, ...]


class Extraction:
    """The pipeline over one face pack; for one thread at a time.

    Every method takes a list and works on it stage by stage: each image is decoded and its faces are detected, then the
    landmark model and the recogniser run in chunks over the faces of all images. No method raises for a single image:
    an image that fails has its error at its index of the result, and an image for which `is_wanted` returns False has
    `Dropped`. `clock` measures how long the stages take.
    """

    def __init__(
        self,
        pack: FacePack,
        *,
        max_pixels: int,
        max_jpeg_pixels: int = 0,
        max_faces: int = 1000,
        selfie_detection_size: int | None = None,
        large_detection_size: int = 0,
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
            large_size=large_detection_size,
        )

    def detect(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """The faces of each image, without embeddings."""
        return self._together(
            images, lambda image, check: _without_pixels(self._finding.photo(image, check)), is_wanted
        )

    def detect_and_embed(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """The faces of each image, each with its embedding."""
        return self._embedded(
            images, lambda image, check: self._cut(self._finding.photo(image, check)), is_wanted
        )

    def embed_only_face(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """For images that should show one face: that face with its embedding, or several faces without.

        A face that is found at the smaller detection size of selfies is enough. Of several faces, two are confirmed;
        the others are listed as the detector found them, best score first, and further ones are counted in `left_out`.
        """
        return self._embedded(
            images,
            lambda image, check: self._cut(self._finding.selfie(image, check), most=1),
            is_wanted,
        )

    def embed(
        self, images: Sequence[tuple[bytes, Sequence[Landmarks]]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The embeddings of faces whose landmarks are known, in their order. Boxes of the answers are empty."""
        return self._embedded(
            images, lambda image, check: self._cut(self._finding.known(image[0], check, image[1])), is_wanted
        )

    def embed_at(
        self, images: Sequence[tuple[bytes, BoundingBox]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The faces of each image; only the face at the box has its embedding.

        This is the face that overlaps the box best; if none does, the best face that is found in the box's region. If
        there is none either, no face has an embedding.
        """
        return self._embedded(images, lambda image, check: self._cut_at(image[0], check, image[1]), is_wanted)

    def detect_in_region(
        self, images: Sequence[tuple[bytes, BoundingBox]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The faces whose centre lies in the region; only the region is searched, at the detector's full size."""
        return self._together(
            images,
            lambda image, check: _without_pixels(self._finding.region(image[0], check, image[1])),
            is_wanted,
        )

    def _together(
        self,
        requests: Sequence[_Request],
        work: Callable[[_Request, Check], Work[_Result]],
        is_wanted: IsWanted,
    ) -> list[_Result | FaceSearchError]:
        works = (work(each, check_of(number, is_wanted)) for number, each in enumerate(requests))
        return work_together(works, self._refined, is_wanted)

    def _refined(self, faces: Sequence[tuple[ImagePyramid, Face]]) -> Refined:
        with self.clock.timed("detect"):
            return self._pack.refined(faces)

    def _embedded(
        self,
        requests: Sequence[_Request],
        work: Callable[[_Request, Check], Work[_Cut]],
        is_wanted: IsWanted,
    ) -> list[Answer]:
        """The faces of each image with embeddings; a chunk of the recogniser may hold faces of several images."""
        with_crops = self._together(requests, work, is_wanted)
        crops = [
            (number, crop)
            for number, cut in enumerate(with_crops)
            if isinstance(cut, _Cut)
            for crop in cut.crops
            if crop is not None
        ]
        embeddings: list[list[Embedding]] = [[] for _ in requests]
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

    def _cut(self, finding: Work[Seen], most: int | None = None) -> Work[_Cut]:
        """The aligned faces that `finding` returns; none where there are more than `most`."""
        seen = yield from finding
        if most is not None and len(seen.faces) > most:
            return _Cut(seen.found, ())
        with self.clock.timed("align"):
            return _Cut(seen.found, tuple(self._pack.crop(seen.image, face.landmarks) for face in seen.faces))

    def _cut_at(self, file: bytes, check: Check, box: BoundingBox) -> Work[_Cut]:
        seen = yield from self._finding.photo(file, check)
        faces, source = seen.faces, seen.image
        chosen = same_face(box, faces)
        if chosen is None:
            region = yield from self._finding.region(file, check, box)
            best = max(region.faces, key=lambda face: (face.bbox.iou(box), face.score), default=None)
            chosen = None if best is None else same_face(best.bbox, faces)
            if best is not None and chosen is None:
                faces, source, chosen = (*faces, best), region.image, best
        with self.clock.timed("align"):
            crops = tuple(
                self._pack.crop(source, face.landmarks) if face is chosen else None for face in faces
            )
        return _Cut(replace(seen.found, faces=faces), crops)


def _without_pixels(finding: Work[Seen]) -> Work[FacesInImage]:
    return (yield from finding).found


def _with_embeddings(cut: _Cut, embeddings: Sequence[Embedding]) -> Answer:
    """The faces of one image with their embeddings; `Dropped` when some embeddings were not computed."""
    if len(embeddings) < sum(crop is not None for crop in cut.crops):
        return Dropped()
    left = iter(embeddings)
    faces = (
        replace(face, embedding=None if crop is None else next(left))
        for face, crop in zip(cut.found.faces, cut.crops, strict=True)
    )
    return replace(cut.found, faces=tuple(faces)) if cut.crops else cut.found
