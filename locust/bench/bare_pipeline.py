"""The least that every face search computes for a selfie: decode, detect at 320 × 320, crop, embed; nothing else.

The unit in which `side_by_side.py` expresses the cost of a service: no second look, no turn, no check of the file.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from numpy.typing import NDArray

from bentos.pipeline.alignment import similarity
from bentos.pipeline.detector import Detector

_SIZE = 320


class BarePipeline:
    """The face pack in `folder` on one thread. The outputs of the detector are decoded the fast way."""

    def __init__(self, folder: Path) -> None:
        cv2.setNumThreads(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        analysis = FaceAnalysis(
            str(folder),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
        )
        analysis.prepare(ctx_id=0, det_thresh=0.5, det_size=(_SIZE, _SIZE))
        self._detector = Detector(analysis.models["detection"], threshold=0.5, always_square=True)
        self._recogniser = analysis.models["recognition"]

    def embed(self, jpeg: bytes) -> NDArray[np.float32] | None:
        """The embedding of the only face, (dim,) float32; None where not exactly one face is detected."""
        pixels = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        found = self._detector.detect(pixels, _SIZE)
        transform = similarity(found.points[0].tolist()) if len(found) == 1 else None
        if transform is None:
            return None
        crop = cv2.warpAffine(pixels, transform, self._recogniser.input_size)
        embedding: NDArray[np.float32] = np.asarray(self._recogniser.get_feat(crop), np.float32)[0]
        return embedding
