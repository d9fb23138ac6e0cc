"""Rewrites a network for batches of a fixed shape: bytes go in, and the best rows of a detector come out.

A 640 × 480 image is 0.9 MB as bytes and 3.7 MB as normalised floats, and all outputs of a detector for it are another
0.8 MB: copies that would cost a GPU more time than the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

PIXELS = "pixels"
"""The input: (batch, height, width, 3) uint8 BGR."""

BEST_SCORES, BEST_ROWS = "best_scores", "best_rows"
"""Outputs of a detector: the best candidates of each image, best first: (batch, k), and (batch, k, 14) as x1, y1, x2,
y2 and five landmarks, in pixels of the input."""

ALL_SCORES, ALL_ROWS = "all_scores", "all_rows"
"""The same of all anchors, in no order."""

_STRIDES = (8, 16, 32)
_COLUMNS = 14


def with_byte_input(model: Any, *, batch: int, height: int, width: int, mean: float, std: float) -> Any:
    """The network for normalised RGB, (n, 3, h, w) float32, as one for `PIXELS` of a fixed shape; changes `model`."""
    graph = model.graph
    [network_input] = [each for each in graph.input if each.name not in {i.name for i in graph.initializer}]
    _constant(graph, "pixels_rgb", np.array([2, 1, 0], dtype=np.int64))
    _constant(graph, "pixels_mean", np.array(mean, dtype=np.float32))
    _constant(graph, "pixels_scale", np.array(1 / std, dtype=np.float32))
    front = [
        helper.make_node("Gather", [PIXELS, "pixels_rgb"], ["pixels_in_rgb"], axis=3),
        helper.make_node("Cast", ["pixels_in_rgb"], ["pixels_float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels_float"], ["pixels_planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["pixels_planes", "pixels_mean"], ["pixels_centred"]),
        helper.make_node("Mul", ["pixels_centred", "pixels_scale"], [network_input.name]),
    ]
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.remove(network_input)
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [batch, height, width, 3]))
    return with_fixed_batch(model, batch)


def with_fixed_batch(model: Any, batch: int) -> Any:
    """The network with `batch` as the first dimension of its inputs and outputs; changes `model`."""
    for each in (*model.graph.input, *model.graph.output):
        first = each.type.tensor_type.shape.dim[0]
        first.Clear()
        first.dim_value = batch
    del model.graph.value_info[:]
    return model


def with_best_rows(model: Any, *, batch: int, height: int, width: int, most: int) -> Any:
    """A detector in the SCRFD layout with decoded boxes and the `most` best rows as outputs; changes `model`.

    The outputs of `model` are scores, distances and landmarks at strides 8, 16, 32, two anchors a cell (see
    `detector.Detector`).
    """
    graph = model.graph
    names = [each.name for each in graph.output]
    counts = [2 * (height // stride) * (width // stride) for stride in _STRIDES]
    joined = []
    for columns, first in ((1, 0), (4, 3), (10, 6)):
        parts = []
        for name, count in zip(names[first : first + len(_STRIDES)], counts, strict=True):
            _constant(graph, f"{name}_shape", np.array([batch, count, columns], dtype=np.int64))
            parts.append(f"{name}_by_image")
            graph.node.append(helper.make_node("Reshape", [name, f"{name}_shape"], [parts[-1]]))
        joined.append(f"joined_{columns}")
        graph.node.append(helper.make_node("Concat", parts, [joined[-1]], axis=1))
    scores, sides, points = joined
    offsets, factors = _anchors(height, width)
    total = sum(counts)
    _constant(graph, "anchor_offsets", offsets)
    _constant(graph, "anchor_factors", factors)
    _constant(graph, "scores_shape", np.array([batch, total], dtype=np.int64))
    _constant(graph, "flat_shape", np.array([batch * total, _COLUMNS], dtype=np.int64))
    _constant(graph, "most", np.array([min(most, total)], dtype=np.int64))
    _constant(graph, "image_offsets", np.arange(batch, dtype=np.int64)[:, None] * total)
    node = helper.make_node
    graph.node.extend(
        [
            node("Reshape", [scores, "scores_shape"], [ALL_SCORES]),
            node("Concat", [sides, points], ["distances"], axis=2),
            node("Mul", ["distances", "anchor_factors"], ["shifts"]),
            node("Add", ["shifts", "anchor_offsets"], [ALL_ROWS]),
            node("TopK", [ALL_SCORES, "most"], [BEST_SCORES, "best_places"], axis=1, largest=1, sorted=1),
            node("Add", ["best_places", "image_offsets"], ["flat_places"]),
            node("Reshape", [ALL_ROWS, "flat_shape"], ["flat_rows"]),
            node("Gather", ["flat_rows", "flat_places"], [BEST_ROWS], axis=0),
        ]
    )
    del graph.output[:]
    shapes: Sequence[tuple[str, list[int]]] = (
        (BEST_SCORES, [batch, min(most, total)]),
        (BEST_ROWS, [batch, min(most, total), _COLUMNS]),
        (ALL_SCORES, [batch, total]),
        (ALL_ROWS, [batch, total, _COLUMNS]),
    )
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes
    )
    return model


def _anchors(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(1, anchors, 14) to multiply with distances in strides, and to add then, to get pixels; added first."""
    offsets, factors = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride] * stride
        centres = np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), 2, axis=0)
        offsets.append(np.tile(centres, (1, _COLUMNS // 2)))
        signs = np.array([-1, -1, *[1] * (_COLUMNS - 2)])
        factors.append(np.tile(stride * signs, (len(centres), 1)))
    return tuple(np.concatenate(each)[None].astype(np.float32) for each in (offsets, factors))  # type: ignore[return-value]


def _constant(graph: Any, name: str, value: NDArray[Any]) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))


def load(path: str) -> Any:
    """The network in a file."""
    return onnx.load(path)
