"""Rewrites YuNet's graph to the inputs and outputs of InsightFace's SCRFD, so that InsightFace can open it.

YuNet (OpenCV Zoo, 2023mar) takes BGR 0..255 and gives, for each of the strides 8, 16 and 32, a class and an
object score, a box and five key points per cell. SCRFD takes RGB as (x - 127.5) / 128 and gives, per stride,
scores, then distances from the cell's corner to the box's sides, then key points, for two anchors a cell.
The formula is that of OpenCV's `FaceDetectorYN` (modules/objdetect/src/face_detect.cpp).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models.conditioning import (
    BATCH,
    constants_of,
    copy_of,
    fold_constants,
    replace_nodes,
    without_unused_initializers,
)
from models.errors import PackError
from models.graph import Graph

STRIDES = (8, 16, 32)
_HEADS = ("cls", "obj", "bbox", "kps")
_CHANNELS = (1, 1, 4, 10)
YUNET_OUTPUTS = tuple(f"{head}_{stride}" for head in _HEADS for stride in STRIDES)


def is_yunet(model: ModelProto) -> bool:
    """Whether the model has YuNet's twelve outputs."""
    return sorted(value.name for value in model.graph.output) == sorted(YUNET_OUTPUTS)


def to_scrfd(model: ModelProto) -> ModelProto:
    """YuNet with SCRFD's input and nine outputs.

    input: (batch, 3, height, width) float32, RGB, (x - 127.5) / 128; sides are multiples of 32.
    outputs, each for strides 8, 16, 32: scores (batch, anchors, 1), box distances (batch, anchors, 4) and
    key points (batch, anchors, 10) in units of the stride, anchors = 2 · height/stride · width/stride; the
    second anchor of a cell scores 0 (YuNet has one, InsightFace expects two) and repeats the first otherwise.
    """
    scrfd = fold_constants(without_single_blocks(model))
    del scrfd.graph.value_info[:]
    _take_normalised_rgb(scrfd)
    heads = {stride: _merge_heads(scrfd, stride) for stride in STRIDES}
    _add_outputs(scrfd, heads)
    _keep_only_what_is_read(scrfd)
    return without_unused_initializers(scrfd)


def without_single_blocks(model: ModelProto) -> ModelProto:
    """Remove `block_size` where one scale covers the whole tensor, because ONNX Runtime refuses to run such nodes."""
    plain = copy_of(model)
    constants = constants_of(model)
    for node in plain.graph.node:
        if node.op_type == "DequantizeLinear" and constants[node.input[1]].shape == (1,):
            attributes = [attribute for attribute in node.attribute if attribute.name != "block_size"]
            del node.attribute[:]
            node.attribute.extend(attributes)
    return plain


def _take_normalised_rgb(model: ModelProto) -> None:
    """Fold x·128 and the swap of channels into the first convolution; only the shift stays a node.

    The shift cannot be folded: the convolution pads with zeros, which mean black before the shift and grey after it.
    """
    (image,) = model.graph.input
    readers = [node for node in model.graph.node if image.name in node.input]
    if len(readers) != 1 or readers[0].op_type != "Conv":
        raise PackError(
            "The detector is not the YuNet that is known: its input does not go into one convolution."
        )
    (first,) = readers
    weights: NDArray[np.float32] = constants_of(model)[first.input[1]].astype(np.float32)
    first.input[0] = "from_black"
    first.input[1] = "first_weights"
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(
                np.ascontiguousarray(weights[:, ::-1]) * np.float32(128), "first_weights"
            ),
            numpy_helper.from_array(np.asarray(127.5 / 128, np.float32), "black"),
        ]
    )
    model.graph.node.insert(0, helper.make_node("Add", [image.name, "black"], ["from_black"], "from_black"))
    image.CopyFrom(
        helper.make_tensor_value_info(image.name, TensorProto.FLOAT, [BATCH, 3, "height", "width"])
    )


def _merge_heads(model: ModelProto, stride: int) -> str:
    """Merge four heads of 1, 1, 4 and 10 channels into one of sixteen, which fills one AVX-512 block.

    Returns the tensor (batch, 16, height, width): class, object, box and key points.
    """
    graph = Graph(model)
    depthwise = [_before_layout(graph, f"{head}_{stride}") for head in _HEADS]
    pointwise = [graph.maker(node.input[0]) for node in depthwise]
    features = {node.input[0] for node in pointwise if node is not None}
    if None in pointwise or len(features) != 1:
        raise PackError(
            "The detector is not the YuNet that is known: its heads do not read the same features."
        )
    merged = f"head_{stride}"
    names = [f"{merged}/{part}" for part in ("expand", "expand_bias", "spread", "spread_bias")]
    layers = [[node for node in pointwise if node is not None], depthwise]
    weights = [[graph.constants[node.input[which]] for node in layer] for layer in layers for which in (1, 2)]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.concatenate(parts), name)
        for name, parts in zip(names, weights, strict=True)
    )
    model.graph.node.extend(
        [
            helper.make_node(
                "Conv", [features.pop(), *names[:2]], [f"{merged}/expanded"], names[0], kernel_shape=[1, 1]
            ),
            helper.make_node(
                "Conv",
                [f"{merged}/expanded", *names[2:]],
                [merged],
                merged,
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                group=sum(_CHANNELS),
            ),
        ]
    )
    return merged


def _before_layout(graph: Graph, output: str) -> NodeProto:
    """The convolution whose (batch, channels, height, width) tensor becomes this output."""
    node = graph.maker(output)
    while node is not None and node.op_type in ("Sigmoid", "Reshape", "Transpose"):
        node = graph.maker(node.input[0])
    if node is None or node.op_type != "Conv":
        raise PackError(
            f"The detector is not the YuNet that is known: {output} does not come out of a convolution."
        )
    return node


def _keep_only_what_is_read(model: ModelProto) -> None:
    """Remove the nodes that no output needs any more."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    replace_nodes(model, kept[::-1])


def _add_outputs(model: ModelProto, heads: dict[int, str]) -> None:
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array([0, -1, n], np.int64), f"to_{n}") for n in (1, 4, 10)]
        + [
            numpy_helper.from_array(np.asarray(0.5, np.float32), "half"),
            numpy_helper.from_array(np.array([1, 1, 2, 2, 10], np.int64), "parts"),
            numpy_helper.from_array(np.array([1, 0], np.float32).reshape(1, 2, 1, 1), "first_anchor_only"),
        ]
    )
    del model.graph.output[:]
    for stride, head in heads.items():
        model.graph.node.extend(_head_nodes(stride, head))
    for kind, channels in (("score", 1), ("distance", 4), ("landmark", 10)):
        for stride in heads:
            shape: list[str | int | None] = [BATCH, f"anchors_{stride}", channels]
            name = f"{kind}_{stride}"
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _head_nodes(stride: int, head: str) -> list[NodeProto]:
    """score = sqrt(sigmoid(class) · sigmoid(object)); left, top = exp(size)/2 - offset; right, bottom = … + offset.

    The channels, where memory is contiguous, are duplicated for the second anchor.
    """

    def node(operator: str, inputs: list[str], *outputs: str, axis: int | None = None) -> NodeProto:
        made = [f"{name}_{stride}" for name in outputs]
        return helper.make_node(operator, inputs, made, made[0], axis=axis)

    at = f"_{stride}"
    return [
        node("Split", [head, "parts"], "class", "object", "offset", "size", "points", axis=1),
        node("Sigmoid", [f"class{at}"], "class_probability"),
        node("Sigmoid", [f"object{at}"], "object_probability"),
        node("Mul", [f"class_probability{at}", f"object_probability{at}"], "product"),
        node("Sqrt", [f"product{at}"], "one_score"),
        node("Mul", [f"one_score{at}", "first_anchor_only"], "scores"),
        node("Exp", [f"size{at}"], "sides"),
        node("Mul", [f"sides{at}", "half"], "radius"),
        node("Sub", [f"radius{at}", f"offset{at}"], "left_top"),
        node("Add", [f"radius{at}", f"offset{at}"], "right_bottom"),
        node("Concat", [f"left_top{at}", f"right_bottom{at}"] * 2, "distances", axis=1),
        node("Concat", [f"points{at}"] * 2, "landmarks", axis=1),
        *_rows(f"scores{at}", f"score{at}", 1),
        *_rows(f"distances{at}", f"distance{at}", 4),
        *_rows(f"landmarks{at}", f"landmark{at}", 10),
    ]


def _rows(tensor: str, output: str, channels: int) -> list[NodeProto]:
    """(batch, 2·channels, height, width) to (batch, 2·height·width, channels)."""
    last = f"{output}/last"
    return [
        helper.make_node("Transpose", [tensor], [last], last, perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [last, f"to_{channels}"], [output], output),
    ]
