"""The networks of a face pack over batches of fixed shapes, on a GPU, or on a CPU to test the same way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime

from bentos.pipeline.batched import graphs
from bentos.pipeline.batched.bucketed_network import BucketedNetwork, Floats
from bentos.pipeline.batched.canvases import Canvas, canvas_for, canvases, large_canvases
from bentos.pipeline.batched.fixed_session import FixedSession, open_fixed
from bentos.pipeline.detector import Candidates, SurestFace, without_overlaps
from bentos.pipeline.pack_info import DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE
from bentos.pipeline.pack_models import open_analysis
from bentos.pipeline.providers import CPU, Provider, load_libraries
from bentos.pipeline.pyramid import Pixels
from bentos.pipeline.steps import DetectorInput, Step

logger = logging.getLogger(__name__)

_SMALL_SIZES = (1, 4, 16, 64)
"""Batch sizes of the networks for single faces, and of the detector for selfies."""
_PHOTO_SIZES = (1, 4, 16)
_LARGE_SIZES = (1,)
_MOST = 64
"""Most items of a step in one run; between two runs the callers are asked whether they still wait."""
_BEST = 256
"""Candidates of one image that are copied from the GPU; an image with more costs another copy."""
_LOOK_SIDE = 96
_LANDMARK_SIDE = 48
_RECOGNISER_MEAN = _RECOGNISER_STD = 127.5


class Sizes(NamedTuple):
    """Sides of the detector's input, pixels: for photos, for selfies, and for the second pass over large photos."""

    photo: int
    selfie: int
    large: int


class BatchedModels:
    """See `pack_models.PackModels`. Opens every shape at once and runs it, so that no caller waits for one later.

    `threshold`: the lowest score of a candidate. `most_images`: no batch of the detector needs to be larger.
    `threads`: of ONNX Runtime on a CPU. Raises `ProviderNotInUse` when a network does not run with all `providers`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threshold: float,
        sizes: Sizes,
        most_images: int,
        providers: Sequence[Provider],
        threads: int,
    ) -> None:
        began = time.monotonic()
        cv2.setNumThreads(1)
        load_libraries([name for name, _ in providers])
        self._folder, self._providers, self._threads = folder, providers, threads
        self._threshold = threshold
        # InsightFace's objects know how the pack wants its input.
        analysis = open_analysis(
            folder, [CPU], onnxruntime.SessionOptions(), threshold=threshold, size=sizes.photo
        )
        detector, recogniser = analysis.models["detection"], analysis.models["recognition"]
        self._input_mean, self._input_std = float(detector.input_mean), float(detector.input_std)
        self._overlap = float(detector.nms_thresh)
        self.crop_size = int(recogniser.input_size[0])
        small = canvases(min(sizes.selfie, sizes.photo))
        photo = canvases(sizes.photo)
        large = large_canvases(sizes.photo, sizes.large)
        batches: dict[Canvas, tuple[int, ...]] = dict.fromkeys(large, _LARGE_SIZES)
        batches |= {canvas: _up_to(most_images, _PHOTO_SIZES) for canvas in photo}
        batches |= {canvas: _up_to(most_images, _SMALL_SIZES) for canvas in small}
        self._canvases = [*small, *photo, *large]
        self._detectors = {
            canvas: BucketedNetwork(self._opens_detector(canvas, _BEST), batch_sizes)
            for canvas, batch_sizes in batches.items()
        }
        self._looks = BucketedNetwork(self._opens_detector(Canvas(_LOOK_SIDE, _LOOK_SIDE), 1), _SMALL_SIZES)
        self._landmarks = BucketedNetwork(self._open_landmarks, _SMALL_SIZES)
        self._recogniser = BucketedNetwork(self._open_recogniser, _SMALL_SIZES)
        self._recogniser_output = str(recogniser.output_names[0])
        logger.info("%d shapes of the networks are open after %.1f s", self._opened, time.monotonic() - began)

    _opened = 0

    def most(self, _kind: type[Step]) -> int:
        """See `PackModels`."""
        return _MOST

    def detect(self, inputs: Sequence[DetectorInput]) -> list[Candidates]:
        """See `PackModels`. The images of one canvas run together."""
        groups: dict[Canvas, list[int]] = {}
        for number, each in enumerate(inputs):
            height, width = each.pixels.shape[:2]
            groups.setdefault(canvas_for(height, width, self._canvases), []).append(number)
        found: dict[int, Candidates] = {}
        for canvas, numbers in groups.items():
            made = self._detectors[canvas].run_each(
                [inputs[number].pixels for number in numbers],
                [graphs.BEST_SCORES, graphs.BEST_ROWS],
                partial(self._candidates, [inputs[number].lowest for number in numbers]),
            )
            found.update(zip(numbers, made, strict=True))
        return [found[number] for number in range(len(inputs))]

    def look(self, squares: Sequence[Pixels]) -> list[SurestFace]:
        """See `PackModels`."""
        scores, rows = self._looks.run(squares, [graphs.BEST_SCORES, graphs.BEST_ROWS])
        return [
            SurestFace(
                score=score,
                box=(row[0], row[1], row[2], row[3]),
                points=tuple(zip(row[4::2], row[5::2], strict=True)),
            )
            for score, row in zip(scores[:, 0].tolist(), rows[:, 0].tolist(), strict=True)
        ]

    def without_overlaps(self, found: Candidates) -> Candidates:
        """See `PackModels`."""
        return without_overlaps(found, self._overlap)

    def landmarks(self, faces: Sequence[Pixels]) -> tuple[Floats, Floats]:
        """See `PackModels`."""
        probabilities, shares = self._landmarks.run(faces, ["probability", "landmarks"])
        return probabilities, shares

    def features(self, crops: Sequence[Pixels]) -> Floats:
        """See `PackModels`."""
        [made] = self._recogniser.run(crops, [self._recogniser_output])
        return made

    def _candidates(
        self,
        lowest: Sequence[float | None],
        number: int,
        session: FixedSession,
        place: int,
        best: list[Floats],
    ) -> Candidates:
        """The candidates of one image; from all rows when the best ones are not all."""
        asked = lowest[number]
        threshold = self._threshold if asked is None else asked
        scores, rows = (each[place] for each in best)
        if scores[-1] >= threshold:
            scores, rows = (session.output(name)[place] for name in (graphs.ALL_SCORES, graphs.ALL_ROWS))
            order = np.argsort(-scores, kind="stable")
            scores, rows = scores[order], rows[order]
        count = int(np.count_nonzero(scores >= threshold))
        found = Candidates(rows[:count, :4], scores[:count], rows[:count, 4:].reshape(-1, 5, 2))
        return self.without_overlaps(found)

    def _opens_detector(self, canvas: Canvas, most: int) -> Callable[[int], FixedSession]:
        def open_session(batch: int) -> FixedSession:
            model = graphs.load(str(self._folder / DETECTOR_FILE))
            shape = {"batch": batch, "height": canvas.height, "width": canvas.width}
            graphs.with_best_rows(model, **shape, most=most)
            graphs.with_byte_input(model, **shape, mean=self._input_mean, std=self._input_std)
            return self._open(model, (batch, *canvas, 3))

        return open_session

    def _open_landmarks(self, batch: int) -> FixedSession:
        model = graphs.with_fixed_batch(graphs.load(str(self._folder / LANDMARKS_FILE)), batch)
        return self._open(model, (batch, _LANDMARK_SIDE, _LANDMARK_SIDE, 3))

    def _open_recogniser(self, batch: int) -> FixedSession:
        model = graphs.load(str(self._folder / RECOGNISER_FILE))
        shape = {"batch": batch, "height": self.crop_size, "width": self.crop_size}
        graphs.with_byte_input(model, **shape, mean=_RECOGNISER_MEAN, std=_RECOGNISER_STD)
        return self._open(model, (batch, self.crop_size, self.crop_size, 3))

    def _open(self, model: Any, shape: Sequence[int]) -> FixedSession:
        self._opened += 1
        return open_fixed(model.SerializeToString(), shape, self._providers, threads=self._threads)


def _up_to(most: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes that a batch of `most` images can fill."""
    return tuple(size for size in sizes if size <= max(1, most)) or (1,)
