"""Opens the networks of a face pack for batches of fixed shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bentos.pipeline.batched import graphs
from bentos.pipeline.batched.bucketed_network import BucketedNetwork
from bentos.pipeline.batched.canvases import Canvas, canvases, large_canvases
from bentos.pipeline.batched.fixed_session import FixedSession, FixedSessions
from bentos.pipeline.pack_info import DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE
from bentos.pipeline.pack_models import PackInputs

LOOKS, LANDMARKS, RECOGNISER = "looks", "landmarks", "recogniser"

_FACE_SIZES = (4, 16)
"""Batch sizes of the networks for single faces: on a GPU four faces take as long as one."""
_IMAGE_SIZES = (1, 4, 8)
"""The same for the detector over whole images: more are hardly faster per image, and take much memory."""
_LARGE_SIZES = (1,)
_IMAGE_START, _CROP_START, _LOOK_START = 3, 12, 60
"""What it costs to start a run on an H100, in items: a small network takes as long for 60 faces as to start."""
_BEST = 256
"""Candidates of one image that are copied from the GPU; an image with more costs another run."""
_LOOK_SIDE = 96
_LANDMARK_SIDE = 48


class Sizes(NamedTuple):
    """Sides of the detector's input, pixels: for photos, for selfies, and for the second pass over large photos."""

    photo: int
    selfie: int
    large: int

    @property
    def canvases(self) -> list[Canvas]:
        """The shapes of the detector's input, smallest first."""
        small, photo = canvases(min(self.selfie, self.photo)), canvases(self.photo)
        return [*dict.fromkeys([*small, *photo, *large_canvases(self.photo, self.large)])]

    def batches(self, canvas: Canvas) -> tuple[int, ...]:
        """The batch sizes for a canvas."""
        return _LARGE_SIZES if self.is_large(canvas) else _IMAGE_SIZES

    def is_usual(self, canvas: Canvas) -> bool:
        """Whether many images need this canvas."""
        return canvas.height != canvas.width and not self.is_large(canvas)

    def is_large(self, canvas: Canvas) -> bool:
        """Whether a canvas is for the second pass over large photos."""
        return max(canvas) > self.photo


def detector_name(canvas: Canvas) -> str:
    """The name of the detector for a canvas."""
    return f"detector {canvas.width}x{canvas.height}"


Networks = Mapping[str, BucketedNetwork]
"""By name."""


def networks_of(
    folder: Path,
    inputs: PackInputs,
    sessions: FixedSessions,
    *,
    sizes: Sizes,
    most_images: int,
) -> Networks:
    """The networks of the pack in `folder`. They open in the thread that runs them, the usual ones when it warms up.

    Photos are mostly 3 : 4. The detectors for square photos and for the second pass over large ones are opened by the
    first such photo, which waits for a second: each shape holds up to half a gigabyte of the GPU's memory.
    `most_images`: no batch of the detector needs to be larger.
    Raises `ProviderNotInUse` when a network does not run with all `providers`.
    """
    opening = _Opening(folder, inputs, sessions)
    sessions.check((folder / LANDMARKS_FILE).read_bytes())
    detectors = {
        detector_name(canvas): opening.detector(
            canvas, _up_to(most_images, sizes.batches(canvas)), is_usual=sizes.is_usual(canvas)
        )
        for canvas in sizes.canvases
    }
    return {**detectors, **opening.for_faces()}


class _Opening:
    """Makes the networks, which are not open yet."""

    def __init__(self, folder: Path, inputs: PackInputs, sessions: FixedSessions) -> None:
        self._folder, self._inputs, self._sessions = folder, inputs, sessions

    def detector(self, canvas: Canvas, batches: Sequence[int], *, is_usual: bool) -> BucketedNetwork:
        """The detector for images on a canvas."""
        made = partial(self._detector, canvas, _BEST)
        return self._network(canvas, batches, _IMAGE_START, made, is_usual=is_usual)

    def for_faces(self) -> dict[str, BucketedNetwork]:
        """The networks for single faces, by name."""
        look, eyes = (Canvas(side, side) for side in (_LOOK_SIDE, _LANDMARK_SIDE))
        crop = Canvas(self._inputs.crop_size, self._inputs.crop_size)
        return {
            LOOKS: self._network(look, _FACE_SIZES, _LOOK_START, partial(self._detector, look, 1)),
            LANDMARKS: self._network(eyes, _FACE_SIZES, _LOOK_START, self._landmarks),
            RECOGNISER: self._network(crop, _FACE_SIZES, _CROP_START, self._recogniser),
        }

    def _network(
        self,
        canvas: Canvas,
        batches: Sequence[int],
        start: int,
        model: Callable[[int], bytes],
        *,
        is_usual: bool = True,
    ) -> BucketedNetwork:
        def open_session(batch: int) -> FixedSession:
            return self._sessions.open(model(batch), (batch, *canvas, 3), is_usual=is_usual)

        opens_early = is_usual or self._sessions.builds_engines
        return BucketedNetwork(open_session, batches, start=start, opens_early=opens_early)

    def _detector(self, canvas: Canvas, most: int, batch: int) -> bytes:
        model = graphs.load(str(self._folder / DETECTOR_FILE))
        shape = {"batch": batch, "height": canvas.height, "width": canvas.width}
        graphs.with_best_rows(model, **shape, most=most)
        graphs.with_byte_input(model, **shape, mean=self._inputs.mean, std=self._inputs.std)
        return _serialised(model)

    def _landmarks(self, batch: int) -> bytes:
        model = graphs.with_fixed_batch(graphs.load(str(self._folder / LANDMARKS_FILE)), batch)
        return _serialised(model)

    def _recogniser(self, batch: int) -> bytes:
        model = graphs.load(str(self._folder / RECOGNISER_FILE))
        side = self._inputs.crop_size
        mean = self._inputs.recogniser_mean
        graphs.with_byte_input(
            model, batch=batch, height=side, width=side, mean=mean, std=self._inputs.recogniser_std
        )
        return _serialised(model)


def _serialised(model: Any) -> bytes:
    serialised: bytes = model.SerializeToString()
    return serialised


def _up_to(most: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes that a batch of `most` images can fill."""
    return tuple(size for size in sizes if size <= max(1, most)) or (1,)
