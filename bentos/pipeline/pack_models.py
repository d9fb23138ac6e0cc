"""The networks of a face pack: the interface to run them, and the way that suits a CPU, one image at a time.

Private interface of insightface 2.1: its model objects' `session`, `input_size` and `get_feat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis

from bentos.pipeline.chunks import CHUNK
from bentos.pipeline.detector import Candidates, Detector, Floats, SurestFace
from bentos.pipeline.pack_info import LANDMARKS_FILE
from bentos.pipeline.providers import CPU, Provider, load_libraries, names_of, require_in_use
from bentos.pipeline.pyramid import Pixels
from bentos.pipeline.steps import Detect, DetectorInput, Step


class PackModels(Protocol):
    """Runs the networks; for one thread at a time."""

    crop_size: int
    """Side of an aligned face, pixels."""
    batch: int
    """How many images the last run of the detector was over."""

    def most(self, kind: type[Step]) -> int:
        """Most items of one run; between two runs the callers are asked whether they still wait."""

    def warm_up(self) -> None:
        """Run each network once, in the thread that runs them later, where the first run takes longer."""

    def detect(self, inputs: Sequence[DetectorInput]) -> list[Candidates]:
        """The candidates in each input, in its pixels, without overlaps, best score first."""

    def look(self, squares: Sequence[Pixels]) -> list[SurestFace]:
        """The face with the best score in each square, however low; all squares have the same side."""

    def without_overlaps(self, found: Candidates) -> Candidates:
        """Of candidates that overlap, only the one with the best score, best score first."""

    def landmarks(self, faces: Sequence[Pixels]) -> tuple[Floats, Floats]:
        """See `landmark_refiner.LandmarkModel`."""

    def features(self, crops: Sequence[Pixels]) -> Floats:
        """The recogniser's output for n aligned faces, (n, dim); not normalised."""


def open_analysis(
    folder: Path,
    providers: Sequence[Any],
    options: onnxruntime.SessionOptions,
    *,
    threshold: float,
    size: int,
) -> FaceAnalysis:
    """InsightFace's own model objects of the pack in `folder`."""
    analysis = FaceAnalysis(
        name=str(folder),
        allowed_modules=["detection", "recognition"],
        providers=list(providers),
        sess_options=options,
    )
    # One size: InsightFace's default runs the detector twice, at 128 and at 640.
    analysis.prepare(ctx_id=0, det_thresh=threshold, det_size=(size, size))
    return analysis


class PackInputs(NamedTuple):
    """How InsightFace gives a pack its input: pixels minus the mean, by the deviation; for detector and recogniser.

    `crop_size`: side of an aligned face, pixels. `embedding`: the recogniser's output. `overlap`: the share of two
    boxes from which they are one face.
    """

    mean: float
    std: float
    recogniser_mean: float
    recogniser_std: float
    crop_size: int
    embedding: str
    overlap: float

    @classmethod
    def of(cls, folder: Path, *, threshold: float, size: int) -> PackInputs:
        """Those of the pack in `folder`."""
        models = open_analysis(
            folder, [CPU], onnxruntime.SessionOptions(), threshold=threshold, size=size
        ).models
        detector, recogniser = models["detection"], models["recognition"]
        return cls(
            float(detector.input_mean),
            float(detector.input_std),
            float(recogniser.input_mean),
            float(recogniser.input_std),
            int(recogniser.input_size[0]),
            str(recogniser.output_names[0]),
            float(detector.nms_thresh),
        )


class SingleModels:
    """See `PackModels`. Detection is one run for each image; the other networks run over chunks of faces.

    Opens the pack in `folder` once. `threads` is given to ONNX Runtime, which would otherwise count the cores of the
    host, not of the container. `threshold`: the lowest score of a candidate.
    Raises `ProviderNotInUse` when ONNX Runtime does not run a graph with all `providers`.
    """

    def __init__(
        self, folder: Path, *, threshold: float, size: int, providers: Sequence[Provider], threads: int
    ) -> None:
        # Otherwise OpenCV spreads each warp of a few pixels over all cores, at twice the processor time.
        cv2.setNumThreads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        load_libraries(names_of(providers))
        analysis = open_analysis(folder, providers, options, threshold=threshold, size=size)
        self.detector = Detector(
            analysis.models["detection"], threshold=threshold, always_square=providers[0][0] != CPU
        )
        self.recogniser: Any = analysis.models["recognition"]
        self.crop_size = int(self.recogniser.input_size[0])
        self.batch = 1
        self._landmarks: Any = onnxruntime.InferenceSession(
            str(folder / LANDMARKS_FILE), options, providers=list(providers)
        )
        for session in (*(model.session for model in analysis.models.values()), self._landmarks):
            require_in_use(session, names_of(providers))

    def most(self, kind: type[Step]) -> int:
        """See `PackModels`."""
        return 1 if kind is Detect else CHUNK

    def warm_up(self) -> None:
        """See `PackModels`: nothing to do on a CPU."""

    def detect(self, inputs: Sequence[DetectorInput]) -> list[Candidates]:
        """See `PackModels`."""
        return [self.detector.detect_fitted(each.pixels, each.side, each.lowest) for each in inputs]

    def look(self, squares: Sequence[Pixels]) -> list[SurestFace]:
        """See `PackModels`."""
        return [self.detector.best(square) for square in squares]

    def without_overlaps(self, found: Candidates) -> Candidates:
        """See `PackModels`."""
        return self.detector.without_overlaps(found)

    def landmarks(self, faces: Sequence[Pixels]) -> tuple[Floats, Floats]:
        """See `PackModels`."""
        probabilities, shares = self._landmarks.run(
            ["probability", "landmarks"], {"faces": np.stack(list(faces))}
        )
        return probabilities, shares

    def features(self, crops: Sequence[Pixels]) -> Floats:
        """See `PackModels`. All crops run as one batch, about 5 MB each."""
        return np.asarray(self.recogniser.get_feat(list(crops)), dtype=np.float32)
