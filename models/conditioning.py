"""Transforms that make a graph faster on ONNX Runtime without changing its results.

Each transform takes a model and returns a new one. Added nodes are named after the node that they replace:
InsightFace reads the first eight names of a recogniser's nodes, and concludes from names that begin with Sub and Mul
that the graph normalises its input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_VANISHING = 1e-20
_FIRST_IR_WITH_CONSTANT_WEIGHTS = 4
BATCH = "batch"


def copy_of(model: ModelProto) -> ModelProto:
    """An independent copy."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def constants_of(model: ModelProto) -> dict[str, NDArray[np.generic]]:
    """The initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def fix_weights(model: ModelProto) -> ModelProto:
    """Make every initializer a constant: old exporters list them as inputs that a caller might override."""
    fixed = copy_of(model)
    names = {tensor.name for tensor in fixed.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in names]
    del fixed.graph.input[:]
    fixed.graph.input.extend(inputs)
    fixed.ir_version = max(fixed.ir_version, _FIRST_IR_WITH_CONSTANT_WEIGHTS)
    return fixed


def fold_constants(model: ModelProto) -> ModelProto:
    """Compute every node whose inputs are all constant, once, with ONNX Runtime itself.

    This turns block-quantised weights into plain float32; otherwise they would be dequantised at every run.
    """
    folded = copy_of(model)
    known = {tensor.name for tensor in folded.graph.initializer}
    constant: list[NodeProto] = []
    kept: list[NodeProto] = []
    for node in folded.graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type == "Constant" or (inputs and known.issuperset(inputs)):
            constant.append(node)
            known.update(node.output)
        else:
            kept.append(node)
    if not constant:
        return folded
    values = _computed(folded, constant, kept)
    replace_nodes(folded, kept)
    folded.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    return without_unused_initializers(folded)


def flush_vanishing(model: ModelProto) -> ModelProto:
    """Set weights below 1e-20 to zero: denormals, and those whose products with an activation become denormal.

    Some processors take a hundred times longer for arithmetic on denormals; a sum in float32 does not change.
    """
    flushed = copy_of(model)
    for tensor in flushed.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            weights = numpy_helper.to_array(tensor)
            vanishing = (weights != 0) & (np.abs(weights) < _VANISHING)
            if vanishing.any():
                kept = np.where(vanishing, np.float32(0), weights)
                tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))
    return flushed


def free_batch(model: ModelProto) -> ModelProto:
    """Make the first dimension of every input and output variable; the other dimensions stay.

    A Reshape to a constant shape that begins with 1 keeps its input's first dimension instead.
    """
    freed = copy_of(model)
    constants = constants_of(model)
    for node in freed.graph.node:
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is not None and node.input[0] not in constants and shape.size > 1 and shape[0] == 1:
            freed_shape = shape.copy()
            freed_shape[0] = 0
            name = f"{node.output[0]}/shape"
            node.input[1] = name
            freed.graph.initializer.append(numpy_helper.from_array(freed_shape, name))
    for value in (*freed.graph.input, *freed.graph.output):
        set_dimension(value, 0, BATCH)
    del freed.graph.value_info[:]
    return without_unused_initializers(freed)


def replace_weights(model: ModelProto, values: Mapping[str, NDArray[np.generic]]) -> None:
    """Replace the values of these initializers, in place."""
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[tensor.name]), tensor.name))


def set_dimension(value: onnx.ValueInfoProto, axis: int, name: str) -> None:
    """Make one dimension of an input or output symbolic."""
    value.type.tensor_type.shape.dim[axis].ClearField("dim_value")
    value.type.tensor_type.shape.dim[axis].dim_param = name


def without_unused_initializers(model: ModelProto) -> ModelProto:
    """Drop the weights that no node reads."""
    slim = copy_of(model)
    read = {name for node in slim.graph.node for name in node.input}
    read |= {value.name for value in slim.graph.output}
    kept = [tensor for tensor in slim.graph.initializer if tensor.name in read]
    if len(kept) != len(slim.graph.initializer):
        del slim.graph.initializer[:]
        slim.graph.initializer.extend(kept)
    return slim


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Replace the graph's nodes, in place."""
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _computed(
    model: ModelProto, constant: list[NodeProto], kept: list[NodeProto]
) -> dict[str, NDArray[np.generic]]:
    read = {name for node in kept for name in node.input} | {value.name for value in model.graph.output}
    wanted = [name for node in constant for name in node.output if name in read]
    outputs = [helper.make_empty_tensor_value_info(name) for name in wanted]
    graph = helper.make_graph(constant, "constants", [], outputs, list(model.graph.initializer))
    part = without_unused_initializers(
        helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    )
    session = ort.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(wanted, session.run(wanted, {}), strict=True))
