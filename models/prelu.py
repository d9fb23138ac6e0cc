"""Replaces PRelu by operators that ONNX Runtime runs in its blocked layout, which its PRelu does not support.

The two layout changes and the slow kernel around each PRelu take half of a MobileFaceNet's time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from models.conditioning import copy_of, replace_nodes, replace_weights, without_unused_initializers
from models.graph import Graph, groups_of

_SMALLEST_REST = 1e-2  # below it s / (1-s) grows past a hundred


def rewrite_prelu(model: ModelProto) -> ModelProto:
    """Replace each PRelu(x, s) by s·x + (1-s)·Relu(x).

    Where only convolutions read the result, they take over the factor (1-s), per channel, and what remains
    is s/(1-s)·x + Relu(x): one pass over the data less. The factor also passes a MaxPool, as long as it is positive.
    """
    rewritten = copy_of(model)
    graph = Graph(model)
    scaled: dict[str, NDArray[Any]] = {}
    nodes: list[NodeProto] = []
    for node in rewritten.graph.node:
        slope = graph.constants.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.dtype != np.float32:
            nodes.append(node)
            continue
        rest = np.float32(1) - slope.astype(np.float32)
        readers = _readers_that_can_scale(graph, node, rest)
        if readers:
            for reader in readers:
                kernel = scaled.get(reader.input[1], graph.constants[reader.input[1]])
                scaled[reader.input[1]] = _scaled(kernel, rest, groups_of(reader))
            nodes += _in_two_passes(rewritten, node, slope / rest)
        else:
            nodes += _in_three_passes(rewritten, node, slope.astype(np.float32), rest)
    replace_nodes(rewritten, nodes)
    replace_weights(rewritten, scaled)
    return without_unused_initializers(rewritten)


def _readers_that_can_scale(graph: Graph, node: NodeProto, rest: NDArray[np.float32]) -> list[NodeProto]:
    """The convolutions that can take over the factor `rest`; none when something else reads the result too."""
    result = node.output[0]
    pool = graph.only_reader(result)
    if pool is not None and pool.op_type == "MaxPool" and bool((rest > 0).all()):
        result = pool.output[0]
    readers = graph.readers(result)
    can_scale = (
        not graph.leaves(node.output[0])
        and not graph.leaves(result)
        and rest.ndim > 1
        and rest.shape[-2:] == (1, 1)
        and bool((np.abs(rest) > _SMALLEST_REST).all())
        and all(graph.is_pointwise(reader) or graph.is_depthwise(reader) for reader in readers)
        and all(reader.input[0] == result and len(graph.readers(reader.input[1])) == 1 for reader in readers)
    )
    return readers if can_scale else []


def _scaled(kernel: NDArray[Any], rest: NDArray[np.float32], groups: int) -> NDArray[Any]:
    factors = rest.reshape(-1)
    shape = (-1, 1, 1, 1) if groups > 1 else (1, -1, 1, 1)
    return np.asarray(kernel * factors.reshape(shape), np.float32)


def _in_two_passes(model: ModelProto, node: NodeProto, ratio: NDArray[np.float32]) -> list[NodeProto]:
    x, y = node.input[0], node.output[0]
    stem = f"prelu_{y}"
    model.graph.initializer.append(numpy_helper.from_array(ratio.astype(np.float32), f"{stem}/ratio"))
    return [
        helper.make_node("Relu", [x], [f"{stem}/relu"], f"{stem}/relu"),
        helper.make_node("Mul", [x, f"{stem}/ratio"], [f"{stem}/sloped"], f"{stem}/sloped"),
        helper.make_node("Add", [f"{stem}/sloped", f"{stem}/relu"], [y], f"{stem}/both"),
    ]


def _in_three_passes(
    model: ModelProto, node: NodeProto, slope: NDArray[np.float32], rest: NDArray[np.float32]
) -> list[NodeProto]:
    x, y = node.input[0], node.output[0]
    stem = f"prelu_{y}"
    model.graph.initializer.extend(
        [numpy_helper.from_array(slope, f"{stem}/slope"), numpy_helper.from_array(rest, f"{stem}/rest")]
    )
    return [
        helper.make_node("Relu", [x], [f"{stem}/relu"], f"{stem}/relu"),
        helper.make_node("Mul", [x, f"{stem}/slope"], [f"{stem}/sloped"], f"{stem}/sloped"),
        helper.make_node("Mul", [f"{stem}/relu", f"{stem}/rest"], [f"{stem}/rested"], f"{stem}/rested"),
        helper.make_node("Add", [f"{stem}/sloped", f"{stem}/rested"], [y], f"{stem}/both"),
    ]
