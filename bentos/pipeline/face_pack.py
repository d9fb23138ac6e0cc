"""A face pack: candidates, faces with refined landmarks, aligned faces and their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bentos.domain.faces import BoundingBox, Embedding, Face, Landmarks
from bentos.pipeline.alignment import align
from bentos.pipeline.detector import Candidates
from bentos.pipeline.landmark_refiner import LandmarkRefiner, RefinedFace
from bentos.pipeline.large_photos import detect_in_parts, detect_in_two_passes, side_of_input
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_models import PackModels
from bentos.pipeline.pyramid import ImagePyramid, Pixels
from bentos.pipeline.steps import Detect, Embed, Look, Refine, Steady, Step, Work, detect
from bentos.pipeline.turned import CANDIDATE_THRESHOLD, detect_turned, once_each, settle

_MOST_DOUBTFUL = 100
"""Most candidates below the detection threshold, as a picture of gravel has hundreds. Limits the time of a photo."""


@dataclass(frozen=True, slots=True)
class FaceCandidates:
    """The detector's candidates for faces, best score first.

    `sure`: with a score at the detection threshold or above. `doubtful`: below. `left_out`: how many further sure
    candidates, with lower scores, are not in `sure`. `traces`: with scores too low for a candidate, if asked for.
    """

    sure: list[Face]
    doubtful: list[Face]
    left_out: int
    traces: Sequence[Face] = ()

    @property
    def all(self) -> list[Face]:
        """The sure candidates, then the doubtful ones."""
        return [*self.sure, *self.doubtful]


class FacePack:
    """The face pack described by `info`, whose networks are `models`; for one thread at a time.

    Its generators may run in any thread; `run` runs the steps that they ask for (see `together.Networks`).
    """

    def __init__(
        self,
        info: PackInfo,
        models: PackModels,
        *,
        detection_size: int,
        detection_threshold: float,
        min_face_size: float,
        landmark_looks: int,
        confirmation_threshold: float,
    ) -> None:
        self.info, self.detection_size = info, detection_size
        self._models = models
        self._min_face_size = min_face_size
        self._refiner = LandmarkRefiner(models.landmarks, looks=landmark_looks)
        self._detection_threshold, self._confirmation_threshold = detection_threshold, confirmation_threshold
        self._runs: dict[type[Step], Callable[[Sequence[Any]], Sequence[Any]]] = {
            Detect: models.detect,
            Look: models.look,
            Refine: self.refined,
            Steady: self.steady,
            Embed: self.embed,
        }

    def most(self, kind: type[Step]) -> int:
        """See `together.Networks`."""
        return self._models.most(kind)

    def warm_up(self) -> None:
        """See `together.Networks`."""
        self._models.warm_up()

    @property
    def batch(self) -> int:
        """See `together.Networks`."""
        return self._models.batch

    def run(self, kind: type[Step], items: Sequence[Any]) -> Sequence[Any]:
        """See `together.Networks`."""
        return self._runs[kind](items)

    def candidates(
        self,
        image: ImagePyramid,
        *,
        most: int,
        size: int | None = None,
        large_size: int = 0,
        turn: int = 0,
        lowest: float | None = None,
    ) -> Work[FaceCandidates]:
        """The detector's candidates in `image`; of the sure ones, the `most` with the best scores.

        A candidate is left out when its box is empty inside the photo or smaller than the smallest size that counts.
        `size`: side of the detector's input, pixels. `large_size`: longer side of its second pass, and of its parts
        where the photo is a panorama; 0 for none. `turn`: search the photo turned by this multiple of 90° clockwise;
        boxes and landmarks refer to the unturned photo. `lowest`: lowest score of `traces`.
        """
        size = size or self.detection_size
        shorter, longer = sorted(image.pixels.shape[:2])
        if longer >= shorter * size:
            # Scaled to the detector's input, the short side would be less than a pixel.
            return FaceCandidates([], [], 0)

        def search(side: int) -> Work[Candidates]:
            pixels, scale = image.reduced(side)
            part_side = min(side, max(size, side_of_input(large_size)))

            def search_part(part: Pixels) -> Work[Candidates]:
                return detect_turned(part, turn, lambda turned: detect(image, turned, part_side, lowest))

            part = max(pixels.shape[:2]) * part_side // side
            found = yield from detect_in_parts(search_part, self._models.without_overlaps, pixels, part)
            return found.scaled(1 / scale)

        found = yield from detect_in_two_passes(
            search,
            self._models.without_overlaps,
            size=size,
            large_size=large_size,
            longer_side=longer,
            shorter_side=shorter,
        )
        found = found.pick(np.isfinite(found.boxes).all(axis=1))
        faces = [
            Face(
                BoundingBox.clipped(box, image.width, image.height),
                min(float(score), 1.0),
                tuple((x, y) for x, y in points.tolist()),
            )
            for box, score, points in zip(found.boxes, found.scores, found.points, strict=True)
        ]
        counted = sorted(filter(self._counts, faces), key=lambda face: (-face.score, face.bbox.as_list()))
        sure = [face for face in counted if face.score >= self._detection_threshold]
        doubtful = [face for face in counted[len(sure) :] if face.score >= CANDIDATE_THRESHOLD]
        traces = counted[len(sure) + len(doubtful) :]
        return FaceCandidates(sure[:most], doubtful[:_MOST_DOUBTFUL], max(0, len(sure) - most), traces)

    def settled(
        self, image: ImagePyramid, candidates: Sequence[Face], most_turned: int | None = None
    ) -> Work[list[Face]]:
        """The candidates that close-up detections confirm, with landmarks that fit their turn; each once, best first.

        One look (see `turned.py`) is enough for an upright face that the detector is sure of. Any other candidate gets
        four more looks, one for each turn, but only the first `most_turned` of them.
        """
        faces = yield from settle(
            image,
            candidates,
            lambda candidate: candidate.score >= self._detection_threshold,
            len(candidates) if most_turned is None else most_turned,
        )
        return once_each(face for face in faces if face is not None and self._counts(face))

    def refined(self, faces: Sequence[tuple[ImagePyramid, Face]]) -> list[Face | None]:
        """Each face with the landmarks that the landmark model finds; None where the model sees no face.

        The faces may be of several images. Each step of the refinement is one run over all of them.
        """
        return self._with_landmarks(
            faces, lambda refined: refined.probability >= self._confirmation_threshold
        )

    def steady(self, faces: Sequence[tuple[ImagePyramid, Face]]) -> list[Face | None]:
        """The same, but None also unless the looks of the landmark model agree (see `RefinedFace.is_steady`)."""
        return self._with_landmarks(
            faces,
            lambda refined: refined.is_steady and refined.least_probability >= self._confirmation_threshold,
        )

    def _with_landmarks(
        self, faces: Sequence[tuple[ImagePyramid, Face]], is_confirmed: Callable[[RefinedFace], bool]
    ) -> list[Face | None]:
        found = self._refiner.refine([(image, face.landmarks) for image, face in faces])
        return [
            replace(face, landmarks=refined.landmarks)
            if refined is not None and is_confirmed(refined)
            else None
            for (_, face), refined in zip(faces, found, strict=True)
        ]

    def _counts(self, face: Face) -> bool:
        return face.bbox.shorter_side >= max(1.0, self._min_face_size)

    def crop(self, image: ImagePyramid, landmarks: Landmarks) -> Pixels | None:
        """The aligned face, (112, 112, 3) uint8 BGR; None when the landmarks are degenerate."""
        return align(image, landmarks, self._models.crop_size)

    def embed(self, crops: Sequence[Pixels]) -> list[Embedding]:
        """One embedding for each crop: (dim,) float32, L2-normalised. All crops run as one batch, about 5 MB each."""
        if not crops:
            return []
        raw = np.asarray(self._models.features(crops), dtype=np.float32)
        norms = np.linalg.norm(raw, axis=1, keepdims=True)
        return list(raw / np.maximum(norms, np.finfo(np.float32).tiny))
