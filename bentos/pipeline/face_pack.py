"""Runs a face pack: InsightFace's detector and recogniser on ONNX Runtime.

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
from numpy.typing import NDArray

from bentos.domain.faces import BoundingBox, Embedding, Face, Landmarks
from bentos.pipeline.alignment import align, similarity
from bentos.pipeline.detector import Detector
from bentos.pipeline.landmarks import CloserLook
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.providers import require_in_use


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the detector takes for faces, best score first; `left_out`: how many more it has found, less sure."""

    faces: list[Face]
    left_out: int


class FacePack:
    """Opens the pack in `folder` once; safe to use from one thread at a time.

    `threads` is given to ONNX Runtime, which would else count the cores of the host, not of the container.
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
        # OpenCV would else spread each warp of a few pixels over all cores, at twice the processor time.
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
        analysis.prepare(ctx_id=0, det_thresh=detection_threshold, det_size=size)
        self._detector = Detector(analysis.models["detection"], threshold=detection_threshold)
        self._recogniser = analysis.models["recognition"]
        self._one_look, self._all_looks = (
            CloserLook(self._detector, looks=looks, confirmation_threshold=confirmation_threshold)
            for looks in (min(1, landmark_looks), landmark_looks)
        )
        self._crop_size = int(self._recogniser.input_size[0])

    def candidates(
        self,
        pixels: NDArray[np.uint8],
        *,
        scale: float,
        width: int,
        height: int,
        most: int,
        size: int | None = None,
    ) -> Candidates:
        """What the detector takes for faces in `pixels` ((h, w, 3) uint8 BGR): the `most` surest, best score first.

        `pixels` may be a reduction of the image by `scale`; boxes and landmarks are those of the full image of
        `width` × `height`. A face whose landmarks cannot be aligned, or whose box is empty inside the image or smaller
        than the smallest that counts, is left out. `size`: side of the detector's input, pixels.
        """
        size = size or self.detection_size
        if max(pixels.shape[:2]) >= min(pixels.shape[:2]) * size:
            return Candidates(
                [], 0
            )  # scaled to the detector's input, the short side would be less than a pixel
        found = self._detector.detect(pixels, size)
        faces = []
        surest = found.pick(slice(most))
        for box, score, points in zip(surest.boxes, surest.scores, surest.points, strict=True):
            if np.isfinite(box).all():
                bbox = BoundingBox.clipped(box / scale, width, height)
                landmarks = tuple((float(x) / scale, float(y) / scale) for x, y in points)
                faces.append(Face(bbox, min(float(score), 1.0), landmarks))
        faces = sorted(filter(self._counts, faces), key=lambda face: (-face.score, face.bbox.as_list()))
        return Candidates(faces, len(found) - len(surest))

    def confirmed(self, pixels: NDArray[np.uint8], faces: Sequence[Face], *, scale: float) -> list[Face]:
        """Those `candidates` that one look at each, upright and from near, finds again; unchanged."""
        return [face for face in faces if self._again(self._one_look, pixels, face, scale) is not None]

    def refined(self, pixels: NDArray[np.uint8], faces: Sequence[Face], *, scale: float) -> list[Face]:
        """Those `candidates` that a look at each confirms, with the landmarks of all looks."""
        looked_at = ((face, self._again(self._all_looks, pixels, face, scale)) for face in faces)
        return [replace(face, landmarks=points) for face, points in looked_at if points is not None]

    @staticmethod
    def _again(look: CloserLook, pixels: NDArray[np.uint8], face: Face, scale: float) -> Landmarks | None:
        found = look.again(pixels, tuple((x * scale, y * scale) for x, y in face.landmarks))
        return None if found is None else tuple((x / scale, y / scale) for x, y in found)

    def _counts(self, face: Face) -> bool:
        side = min(face.bbox.x2 - face.bbox.x1, face.bbox.y2 - face.bbox.y1)
        return side >= max(1.0, self._min_face_size) and similarity(face.landmarks) is not None

    def crop(
        self, pixels: NDArray[np.uint8], landmarks: Landmarks, *, scale: float
    ) -> NDArray[np.uint8] | None:
        """The aligned face, (112, 112, 3) uint8 BGR, from landmarks of the full image; None when degenerate."""
        return align(pixels, tuple((x * scale, y * scale) for x, y in landmarks), self._crop_size)

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> list[Embedding]:
        """One embedding for each crop: (dim,) float32, L2-normalised. All crops run as one batch, about 5 MB each."""
        if not crops:
            return []
        raw = np.asarray(self._recogniser.get_feat(list(crops)), dtype=np.float32)
        norms = np.linalg.norm(raw, axis=1, keepdims=True)
        return list(raw / np.maximum(norms, np.finfo(np.float32).tiny))
