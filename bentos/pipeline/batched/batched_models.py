"""The networks of a face pack over batches of fixed shapes, on a GPU, or on a CPU to test the same way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from bentos.pipeline.batched import graphs
from bentos.pipeline.batched.bucketed_network import BucketedNetwork
from bentos.pipeline.batched.canvases import Canvas, canvas_for
from bentos.pipeline.batched.opening import LANDMARKS, LOOKS, RECOGNISER, Networks, Sizes, detector_name
from bentos.pipeline.detector import Candidates, Floats, SurestFace, without_overlaps
from bentos.pipeline.pack_models import PackInputs
from bentos.pipeline.pyramid import Pixels
from bentos.pipeline.steps import DetectorInput, Step

logger = logging.getLogger(__name__)

_MOST = 64
"""Most items of a step in one run; between two runs the callers are asked whether they still wait."""
_BEST_OUTPUTS = [graphs.BEST_SCORES, graphs.BEST_ROWS]
_ALL_OUTPUTS = [graphs.ALL_SCORES, graphs.ALL_ROWS]


class BatchedModels:
    """See `pack_models.PackModels`. `threshold`: the lowest score of a candidate.

    `confirm`: called when the usual networks are open, see `FixedSessions.confirm`.
    """

    def __init__(
        self,
        networks: Networks,
        inputs: PackInputs,
        *,
        threshold: float,
        sizes: Sizes,
        confirm: Callable[[], None],
    ) -> None:
        cv2.setNumThreads(1)
        self._confirm = confirm
        self._networks, self._threshold = networks, threshold
        self._overlap = inputs.overlap
        self.crop_size, self._embedding = inputs.crop_size, inputs.embedding
        self._canvases = sizes.canvases
        self.batch = 1

    def most(self, _kind: type[Step]) -> int:
        """See `PackModels`."""
        return _MOST

    def warm_up(self) -> None:
        """See `PackModels`."""
        began = time.monotonic()
        count = sum(network.warm_up() for network in self._networks.values())
        self._confirm()
        logger.info("%d shapes of the networks are open after %.1f s", count, time.monotonic() - began)

    def detect(self, inputs: Sequence[DetectorInput]) -> list[Candidates]:
        """See `PackModels`. The images of one canvas run together."""
        groups: dict[Canvas, list[int]] = {}
        for number, each in enumerate(inputs):
            height, width = each.pixels.shape[:2]
            groups.setdefault(canvas_for(height, width, self._canvases), []).append(number)
        found: dict[int, Candidates] = {}
        self.batch = 1
        for canvas, numbers in groups.items():
            made = self._detected(
                self._networks[detector_name(canvas)], [inputs[number] for number in numbers]
            )
            found.update(zip(numbers, made, strict=True))
        return [found[number] for number in range(len(inputs))]

    def look(self, squares: Sequence[Pixels]) -> list[SurestFace]:
        """See `PackModels`."""
        scores, rows = self._networks[LOOKS].run(squares, _BEST_OUTPUTS)
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
        probabilities, shares = self._networks[LANDMARKS].run(faces, ["probability", "landmarks"])
        return probabilities, shares

    def features(self, crops: Sequence[Pixels]) -> Floats:
        """See `PackModels`."""
        [made] = self._networks[RECOGNISER].run(crops, [self._embedding])
        return made

    def _detected(self, network: BucketedNetwork, inputs: Sequence[DetectorInput]) -> list[Candidates]:
        """The candidates of images of one canvas; from all rows when the best ones are not all."""
        best = network.run([each.pixels for each in inputs], _BEST_OUTPUTS)
        self.batch = max(self.batch, network.batch)
        found = []
        for each, *best_of_image in zip(inputs, *best, strict=True):
            threshold = self._threshold if each.lowest is None else each.lowest
            scores, rows = best_of_image
            if scores[-1] >= threshold:
                [scores], [rows] = network.run([each.pixels], _ALL_OUTPUTS)
                order = np.argsort(-scores, kind="stable")
                scores, rows = scores[order], rows[order]
            count = int(np.count_nonzero(scores >= threshold))
            found.append(
                self.without_overlaps(
                    Candidates(rows[:count, :4], scores[:count], rows[:count, 4:].reshape(-1, 5, 2))
                )
            )
        return found
