"""Measures the speed of a pack and of its published files, alternately in one run, with one thread, as medians.

It measures CPU time, which other work on the machine affects less than wall-clock time. A session with one thread
computes in the calling thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from bentos.pipeline.pack_info import DETECTOR_FILE, RECOGNISER_FILE
from models.conditioning import fix_weights, fold_constants
from models.equivalence import faces_of_the_group, scrfd_input, session, square_photo
from models.published import Published
from models.yunet import is_yunet, without_single_blocks

_ROUNDS = 60
_WARM_UP = 5
_SIDES = (640, 320)


def report(published: Published, folder: Path) -> str:
    """A table of milliseconds: one face for the recogniser, one image for the detector."""
    face = faces_of_the_group(folder / DETECTOR_FILE)[:1]
    before, after = _medians(
        _runner(session(published.recogniser), face), _runner(session(folder / RECOGNISER_FILE), face)
    )
    how = f"one thread, milliseconds of CPU time, median of {_ROUNDS} runs in turns"
    lines = [
        f"onnxruntime {ort.__version__}, {how}",
        f"{'':24}{'published':>12}{'conditioned':>14}{'times':>8}",
        f"{'recogniser, one face':24}{before:9.2f} ms{after:11.2f} ms{before / after:8.1f}",
    ]
    original = _runnable_detector(published.detector)
    conditioned = session(folder / DETECTOR_FILE)
    for side in _SIDES:
        image = scrfd_input(square_photo(side))
        fixed = [size for size in original.get_inputs()[0].shape[2:] if isinstance(size, int)]
        label = f"detector, {side}×{side}"
        if fixed and fixed != [side, side]:
            (after,) = _medians(_runner(conditioned, image))
            lines.append(f"{label:24}{'fixed size':>12}{after:11.2f} ms")
        else:
            before, after = _medians(_runner(original, image), _runner(conditioned, image))
            lines.append(f"{label:24}{before:9.2f} ms{after:11.2f} ms{before / after:8.1f}")
    return "\n".join(lines)


def _runnable_detector(path: Path) -> ort.InferenceSession:
    """The published detector; a block-quantised YuNet, which ONNX Runtime refuses, gets plain weights."""
    model = onnx.load(str(path))
    if is_yunet(model):
        return session(fold_constants(fix_weights(without_single_blocks(model))).SerializeToString())
    return session(path)


def _runner(opened: ort.InferenceSession, image: np.ndarray) -> Callable[[], object]:
    feed = {opened.get_inputs()[0].name: image}
    return lambda: opened.run(None, feed)


def _medians(*runs: Callable[[], object]) -> list[float]:
    """Milliseconds of each, measured alternately, so that other work on the machine affects all of them."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(_WARM_UP + _ROUNDS):
        for run, taken in zip(runs, times, strict=True):
            start = time.thread_time()
            run()
            if turn >= _WARM_UP:
                taken.append(1000 * (time.thread_time() - start))
    return [statistics.median(taken) for taken in times]
