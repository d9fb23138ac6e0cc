"""The methods of the runner: from lists of compressed images to faces and embeddings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bentos.domain.errors import FaceSearchError, InternalError
from bentos.domain.faces import BoundingBox, Face, FacesInImage, Landmarks, same_face
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.finding import FaceFinding
from bentos.pipeline.methods import AnyMethod
from bentos.pipeline.photo_faces import Seen
from bentos.pipeline.pyramid import ImagePyramid, Pixels
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Work, embed
from bentos.pipeline.together import Networks, Task, work_together
from bentos.pipeline.wanted import Check, Dropped, IsWanted, always_wanted, check_of

logger = logging.getLogger(__name__)

Answer = FacesInImage | FaceSearchError

_Aligned = tuple[FacesInImage, tuple[Pixels | None, ...]]
"""The faces of an image and their aligned crops, (112, 112, 3) uint8 BGR; None where a face gets no embedding.

The pixels of the image itself are not kept while its faces wait for the recogniser.
"""


class Extraction:
    """The pipeline over one face pack; for one thread at a time.

    Every method takes a list and works on all its images at once: each network runs over the items of all images, in
    chunks. No method raises for a single image: an image that fails has its error at its index of the result, and an
    image for which `is_wanted` returns False has `Dropped`. `clock` measures how long the stages take.
    """

    def __init__(
        self,
        pack: FacePack,
        *,
        max_pixels: int,
        max_jpeg_pixels: int = 0,
        max_faces: int = 1000,
        selfie_detection_size: int | None = None,
        quick_detection_size: int = 0,
        large_detection_size: int = 0,
        min_embedded_size: float = 0,
    ) -> None:
        """`min_embedded_size`: `detect_and_embed` embeds no face whose shorter side is smaller, pixels."""
        self.clock = StageClock()
        self._pack = pack
        self._finding = FaceFinding(
            pack,
            self.clock,
            max_pixels=max_pixels,
            max_jpeg_pixels=max_jpeg_pixels,
            max_faces=max_faces,
            selfie_size=selfie_detection_size or pack.detection_size,
            quick_size=quick_detection_size,
            large_size=large_detection_size,
        )
        self._works: Mapping[AnyMethod, Callable[[Any, Check], Work[FacesInImage]]] = {
            "detect": lambda image, check: _without_pixels(self._finding.photo(image, check)),
            "detect_and_embed": lambda image, check: self._embedded(
                self._finding.photo(image, check), least=min_embedded_size
            ),
            "embed_only_face": lambda image, check: self._embedded(
                self._finding.selfie(image, check), most=1
            ),
            "embed_largest_face": lambda image, check: self._embedded(self._finding.largest(image, check)),
            "embed": lambda asked, check: self._embedded(self._finding.known(asked[0], check, asked[1])),
            "embed_at": lambda asked, check: self._embedded_at(asked[0], check, asked[1]),
            "embed_only_at": lambda asked, check: self._embedded(self._finding.at(asked[0], check, asked[1])),
            "detect_in_region": lambda asked, check: _without_pixels(
                self._finding.region(asked[0], check, asked[1])
            ),
        }

    def detect(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """The faces of each image, without embeddings."""
        return self.run("detect", images, is_wanted)

    def detect_and_embed(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """The faces of each image, each with its embedding unless it is smaller than `min_embedded_size`."""
        return self.run("detect_and_embed", images, is_wanted)

    def embed_only_face(self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted) -> list[Answer]:
        """For images that should show one face: that face with its embedding, or several faces without.

        A face that is found at the smaller detection size of selfies is enough. Of several faces, two are confirmed;
        the others are listed as the detector found them, best score first, and further ones are counted in `left_out`.
        """
        return self.run("embed_only_face", images, is_wanted)

    def embed_largest_face(
        self, images: Sequence[bytes], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The face with the largest box of each image with its embedding; the others are not examined."""
        return self.run("embed_largest_face", images, is_wanted)

    def embed(
        self, images: Sequence[tuple[bytes, Sequence[Landmarks]]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The embeddings of faces whose landmarks are known, in their order. Boxes of the answers are empty."""
        return self.run("embed", images, is_wanted)

    def embed_at(
        self, images: Sequence[tuple[bytes, BoundingBox]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The faces of each image; only the face at the box has its embedding.

        This is the face that overlaps the box best; if none does, the best face that is found in the box's region. If
        there is none either, no face has an embedding.
        """
        return self.run("embed_at", images, is_wanted)

    def embed_only_at(
        self, images: Sequence[tuple[bytes, BoundingBox]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The face of each image that overlaps the box best with its embedding; the others are not examined."""
        return self.run("embed_only_at", images, is_wanted)

    def detect_in_region(
        self, images: Sequence[tuple[bytes, BoundingBox]], is_wanted: IsWanted = always_wanted
    ) -> list[Answer]:
        """The faces whose centre lies in the region; only the region is searched, at the detector's full size."""
        return self.run("detect_in_region", images, is_wanted)

    def run(self, method: AnyMethod, requests: Sequence[Any], is_wanted: IsWanted) -> list[Answer]:
        """The method of this name, with what it takes for each image."""
        work = self._works[method]
        works = (work(each, check_of(number, is_wanted)) for number, each in enumerate(requests))
        return work_together(works, self._pack, self.clock, is_wanted)

    @property
    def networks(self) -> Networks:
        """What runs the steps of a `task`."""
        return self._pack

    def task(self, method: AnyMethod, asked: Any, is_wanted: Callable[[], bool]) -> Task[FacesInImage]:
        """The work of a method on one image, to be combined with others. An unexpected error fails this image alone."""

        def check() -> None:
            if not is_wanted():
                raise Dropped

        return Task(_guarded(self._works[method](asked, check)), self.clock, is_wanted)

    def _embedded(self, finding: Work[Seen], most: int | None = None, least: float = 0) -> Work[FacesInImage]:
        """The faces that `finding` returns, each with its embedding; without where there are more than `most`.

        Faces whose shorter side is smaller than `least` get none either.
        """
        found, crops = yield from self._aligned(finding, most, least)
        return (yield from _with_embeddings(found, crops))

    def _embedded_at(self, file: bytes, check: Check, box: BoundingBox) -> Work[FacesInImage]:
        found, crops = yield from self._aligned_at(file, check, box)
        return (yield from _with_embeddings(found, crops))

    def _aligned(self, finding: Work[Seen], most: int | None, least: float) -> Work[_Aligned]:
        seen = yield from finding
        if most is not None and len(seen.faces) > most:
            return seen.found, (None,) * len(seen.faces)
        with self.clock.timed("align"):
            return seen.found, tuple(
                self._pack.crop(seen.image, face.landmarks) if face.bbox.shorter_side >= least else None
                for face in seen.faces
            )

    def _aligned_at(self, file: bytes, check: Check, box: BoundingBox) -> Work[_Aligned]:
        seen = yield from self._finding.photo(file, check)
        faces, source = seen.faces, seen.image
        chosen = same_face(box, faces)
        if chosen is None:
            region = yield from self._finding.region(file, check, box)
            best = max(region.faces, key=lambda face: (face.bbox.iou(box), face.score), default=None)
            chosen = None if best is None else same_face(best.bbox, faces)
            if best is not None and chosen is None:
                faces, source, chosen = (*faces, best), region.image, best
        return replace(seen.found, faces=faces), self._crop_of(chosen, faces, source)

    def _crop_of(
        self, chosen: Face | None, faces: Sequence[Face], source: ImagePyramid
    ) -> tuple[Pixels | None, ...]:
        """The aligned crop of the chosen face, None for the others."""
        with self.clock.timed("align"):
            return tuple(
                self._pack.crop(source, face.landmarks) if face is chosen else None for face in faces
            )


def _guarded(work: Work[FacesInImage]) -> Work[FacesInImage]:
    try:
        return (yield from work)
    except FaceSearchError:
        raise
    except Exception:
        logger.exception("the work on an image failed")
        raise InternalError from None


def _without_pixels(finding: Work[Seen]) -> Work[FacesInImage]:
    return (yield from finding).found


def _with_embeddings(found: FacesInImage, crops: Sequence[Pixels | None]) -> Work[FacesInImage]:
    """The faces, each with the embedding of its crop; without where there is no crop."""
    left = iter((yield from embed([crop for crop in crops if crop is not None])))
    faces = (
        replace(face, embedding=None if crop is None else next(left))
        for face, crop in zip(found.faces, crops, strict=True)
    )
    return replace(found, faces=tuple(faces))
