"""Small graphs for tests of the transforms, and a function that runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

Array = NDArray[Any]


def model_of(
    nodes: list[NodeProto],
    weights: dict[str, Array],
    shape: list[int | str],
    output_rank: int = 4,
    opset: int = 17,
    ir_version: int = 8,
) -> ModelProto:
    """A model from `x` of that shape to `y`."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * output_rank)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def run(model: ModelProto, x: Array) -> Array:
    """`y` of a model that the checker accepts."""
    checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def operators(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def noise(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
