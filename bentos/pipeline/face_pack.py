"""Runs a face pack on ONNX Runtime: detector, landmark model and recogniser.

Private interface of insightface 2.1: its model objects' `session`, `input_size` and `get_feat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis

from bentos.domain.faces import BoundingBox, Embedding, Face, Landmarks
from bentos.pipeline.alignment import align
from bentos.pipeline.detector import Candidates, Detector
from bentos.pipeline.landmark_refiner import LandmarkRefiner
from bentos.pipeline.large_photos import detect_in_two_passes
from bentos.pipeline.pack_info import LANDMARKS_FILE, PackInfo
from bentos.pipeline.providers import CPU, require_in_use
from bentos.pipeline.pyramid import ImagePyramid, Pixels
from bentos.pipeline.turned import (
    CANDIDATE_THRESHOLD,
    TurnFinder,
    detect_turned,
    once_each,
)

_MOST_DOUBTFUL = 100
"""Most candidates below the detection threshold, as a picture of gravel has hundreds. Limits the time of a photo."""


@dataclass(frozen=True, slots=True)
class FaceCandidates:
    """The detector's candidates for faces, best score first.

    `sure`: with a score at the detection threshold or above. `doubtful`: below. `left_out`: how many further sure
    candidates, with lower scores, are not in `sure`.
    """

    sure: list[Face]
    doubtful: list[Face]
    left_out: int

    @property
    def all(self) -> list[Face]:
        """The sure candidates, then the doubtful ones."""
        return [*self.sure, *self.doubtful]


class FacePack:
    """Opens the pack in `folder` once; for one thread at a time.

    `threads` is given to ONNX Runtime, which would otherwise count the cores of the host, not of the container.
    Raises `ProviderNotInUse` when ONNX Runtime does not run a graph with all `providers`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        detection_size: int,
        detection_threshold: float,
        min_face_size: float,
        landmark_looks: int,
        confirmation_threshold: float,
        providers: Sequence[str],
        threads: int,
    ) -> None:
        # Otherwise OpenCV spreads each warp of a few pixels over all cores, at twice the processor time.
        cv2.setNumThreads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.info = PackInfo.read(folder)
        self.detection_size = detection_size
        self._min_face_size = min_face_size
        analysis = FaceAnalysis(
            name=str(folder),
            allowed_modules=["detection", "recognition"],
            providers=list(providers),
            sess_options=options,
        )
        for model in analysis.models.values():
            require_in_use(model.session, providers)
        # One size: InsightFace's default runs the detector twice, at 128 and at 640.
        size = (detection_size, detection_size)
        candidate_threshold = min(CANDIDATE_THRESHOLD, detection_threshold)
        analysis.prepare(ctx_id=0, det_thresh=candidate_threshold, det_size=size)
        self._detector = Detector(
            analysis.models["detection"], threshold=candidate_threshold, always_square=providers[0] != CPU
        )
        self._turns = TurnFinder(self._detector)
        self._refiner = LandmarkRefiner(
            folder / LANDMARKS_FILE, looks=landmark_looks, providers=providers, options=options
        )
        self._detection_threshold, self._confirmation_threshold = detection_threshold, confirmation_threshold
        self._recogniser = analysis.models["recognition"]
        self._crop_size = int(self._recogniser.input_size[0])

    def candidates(
        self, image: ImagePyramid, *, most: int, size: int | None = None, large_size: int = 0, turn: int = 0
    ) -> FaceCandidates:
        """The detector's candidates in `image`; of the sure ones, the `most` with the best scores.

        A candidate is left out when its box is empty inside the photo or smaller than the smallest size that counts.
        `size`: side of the detector's input, pixels. `large_size`: longer side of its second pass; 0 for none. `turn`:
        search the photo turned by this multiple of 90° clockwise; boxes and landmarks refer to the unturned photo.
        """
        size = size or self.detection_size
        shorter, longer = sorted(image.pixels.shape[:2])
        if longer >= shorter * size:
            # Scaled to the detector's input, the short side would be less than a pixel.
            return FaceCandidates([], [], 0)

        def detect(side: int) -> Candidates:
            pixels, scale = image.reduced(side)
            return detect_turned(pixels, turn, lambda turned: self._detector.detect(turned, side)).scaled(
                1 / scale
            )

        found = detect_in_two_passes(
            detect, self._detector, size=size, large_size=large_size, longer_side=longer
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
        doubtful = counted[len(sure) : len(sure) + _MOST_DOUBTFUL]
        return FaceCandidates(sure[:most], doubtful, max(0, len(sure) - most))

    def settled(
        self, image: ImagePyramid, candidates: Sequence[Face], most_turned: int | None = None
    ) -> list[Face]:
        """The candidates that close-up detections confirm, with landmarks that fit their turn; each once, best first.

        One look (see `turned.py`) is enough for an upright face that the detector is sure of. Any other candidate gets
        four more looks, one for each turn, but only the first `most_turned` of them.
        """
        found: list[Face] = []
        left = len(candidates) if most_turned is None else most_turned
        for candidate in candidates:
            is_sure = candidate.score >= self._detection_threshold
            face, is_compared = self._turns.settle(image, candidate, is_sure=is_sure, may_be_turned=left > 0)
            left -= is_compared
            if face is not None and self._counts(face):
                found.append(face)
        return once_each(found)

    def refined(self, faces: Sequence[tuple[ImagePyramid, Face]]) -> list[Face | None]:
        """Each face with the landmarks that the landmark model finds; None where the model sees no face.

        The faces may be of several images. Each step of the refinement is one run over all of them.
        """
        found = self._refiner.refine([(image, face.landmarks) for image, face in faces])
        return [
            replace(face, landmarks=refined.landmarks)
            if refined is not None and refined.probability >= self._confirmation_threshold
            else None
            for (_, face), refined in zip(faces, found, strict=True)
        ]

    def _counts(self, face: Face) -> bool:
        box = face.bbox
        return min(box.x2 - box.x1, box.y2 - box.y1) >= max(1.0, self._min_face_size)

    def crop(self, image: ImagePyramid, landmarks: Landmarks) -> Pixels | None:
        """The aligned face, (112, 112, 3) uint8 BGR; None when the landmarks are degenerate."""
        return align(image, landmarks, self._crop_size)

    def embed(self, crops: Sequence[Pixels]) -> list[Embedding]:
        """One embedding for each crop: (dim,) float32, L2-normalised. All crops run as one batch, about 5 MB each."""
        if not crops:
            return []
        raw = np.asarray(self._recogniser.get_feat(list(crops)), dtype=np.float32)
        norms = np.linalg.norm(raw, axis=1, keepdims=True)
        return list(raw / np.maximum(norms, np.finfo(np.float32).tiny))
