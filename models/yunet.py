"""YuNet brought into the layout of InsightFace's SCRFD, inside the graph: InsightFace then opens it as its own.

YuNet (OpenCV Zoo, 2023mar) takes BGR 0..255 and gives, for each of the strides 8, 16 and 32, a class and an
object score, a box and five key points per cell. SCRFD takes RGB as (x - 127.5) / 128 and gives, per stride,
scores, then distances from the cell's corner to the box's sides, then key points, for two anchors a cell.
The formula is that of OpenCV's `FaceDetectorYN` (modules/objdetect/src/face_detect.cpp).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models.conditioning import BATCH, constants_of, copy_of, fold_constants, without_unused_initializers
from models.errors import PackError

STRIDES = (8, 16, 32)
_HEADS = ("cls", "obj", "bbox", "kps")
YUNET_OUTPUTS = tuple(f"{head}_{stride}" for head in _HEADS for stride in STRIDES)


def is_yunet(model: ModelProto) -> bool:
    """Whether the model has YuNet's twelve outputs."""
    return sorted(value.name for value in model.graph.output) == sorted(YUNET_OUTPUTS)


def to_scrfd(model: ModelProto) -> ModelProto:
    """The same detector with SCRFD's input and nine outputs.

    input: (batch, 3, height, width) float32, RGB, (x - 127.5) / 128; sides are multiples of 32.
    outputs, each for strides 8, 16, 32: scores (batch, anchors, 1), box distances (batch, anchors, 4) and
    key points (batch, anchors, 10) in units of the stride, anchors = 2 · height/stride · width/stride; the
    second anchor of a cell scores 0, because YuNet has one and InsightFace expects two.
    """
    scrfd = fold_constants(without_single_blocks(model))
    del scrfd.graph.value_info[:]
    _take_normalised_rgb(scrfd)
    heads = {name: _before_layout(scrfd, name) for name in YUNET_OUTPUTS}
    _cut_after(scrfd, heads)
    _add_outputs(scrfd, heads)
    return without_unused_initializers(scrfd)


def without_single_blocks(model: ModelProto) -> ModelProto:
    """Drop `block_size` where one scale covers the whole tensor: ONNX Runtime refuses to run those nodes."""
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

    The shift cannot be folded: the convolution pads with zeros, which are black before it and grey after.
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
            numpy_helper.from_array(np.float32(127.5 / 128), "black"),
        ]
    )
    model.graph.node.insert(0, helper.make_node("Add", [image.name, "black"], ["from_black"], "from_black"))
    image.CopyFrom(
        helper.make_tensor_value_info(image.name, TensorProto.FLOAT, [BATCH, 3, "height", "width"])
    )


def _before_layout(model: ModelProto, output: str) -> str:
    """The (batch, channels, height, width) tensor that becomes this output."""
    producers = {name: node for node in model.graph.node for name in node.output}
    name = output
    while producers[name].op_type in ("Sigmoid", "Reshape", "Transpose"):
        name = producers[name].input[0]
    return name


def _cut_after(model: ModelProto, heads: dict[str, str]) -> None:
    producers = {name: node for node in model.graph.node for name in node.output}
    dropped = set()
    for output, head in heads.items():
        name = output
        while name != head:
            dropped.add(name)
            name = producers[name].input[0]
    kept = [node for node in model.graph.node if node.output[0] not in dropped]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.output[:]


def _add_outputs(model: ModelProto, heads: dict[str, str]) -> None:
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(shape, np.int64), f"to_{channels}")
            for channels, shape in ((1, [0, -1, 1]), (4, [0, -1, 4]), (10, [0, -1, 10]))
        ]
        + [
            numpy_helper.from_array(np.array([0, 0, 0, 0, 0, channels], np.int64), f"second_of_{channels}")
            for channels in (1, 4, 10)
        ]
        + [
            numpy_helper.from_array(np.float32(0.5), "half"),
            numpy_helper.from_array(np.array([2, 2], np.int64), "two_and_two"),
        ]
    )
    outputs: dict[str, onnx.ValueInfoProto] = {}
    for stride in STRIDES:
        cls, obj, box, points = (heads[f"{head}_{stride}"] for head in _HEADS)
        model.graph.node.extend(
            _score_nodes(stride, cls, obj)
            + _box_nodes(stride, box)
            + _anchor_nodes(f"score_{stride}", f"both_{stride}", 1)
            + _anchor_nodes(f"distance_{stride}", f"sides_{stride}", 4)
            + _anchor_nodes(f"landmark_{stride}", points, 10)
        )
        for kind, channels in (("score", 1), ("distance", 4), ("landmark", 10)):
            name = f"{kind}_{stride}"
            shape = [BATCH, f"anchors_{stride}", channels]
            outputs[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    for kind in ("score", "distance", "landmark"):
        model.graph.output.extend(outputs[f"{kind}_{stride}"] for stride in STRIDES)


def _score_nodes(stride: int, cls: str, obj: str) -> list[NodeProto]:
    """score = sqrt(sigmoid(cls) · sigmoid(obj))."""
    at = f"_{stride}"
    return [
        helper.make_node("Sigmoid", [cls], [f"class{at}"], f"class{at}"),
        helper.make_node("Sigmoid", [obj], [f"object{at}"], f"object{at}"),
        helper.make_node("Mul", [f"class{at}", f"object{at}"], [f"product{at}"], f"product{at}"),
        helper.make_node("Sqrt", [f"product{at}"], [f"both{at}"], f"both{at}"),
    ]


def _box_nodes(stride: int, box: str) -> list[NodeProto]:
    """left, top = exp(size) / 2 - offset; right, bottom = exp(size) / 2 + offset."""
    at = f"_{stride}"
    return [
        helper.make_node(
            "Split", [box, "two_and_two"], [f"offset{at}", f"size{at}"], f"offset_size{at}", axis=1
        ),
        helper.make_node("Exp", [f"size{at}"], [f"exp{at}"], f"exp{at}"),
        helper.make_node("Mul", [f"exp{at}", "half"], [f"radius{at}"], f"radius{at}"),
        helper.make_node("Sub", [f"radius{at}", f"offset{at}"], [f"left_top{at}"], f"left_top{at}"),
        helper.make_node("Add", [f"radius{at}", f"offset{at}"], [f"right_bottom{at}"], f"right_bottom{at}"),
        helper.make_node(
            "Concat", [f"left_top{at}", f"right_bottom{at}"], [f"sides{at}"], f"sides{at}", axis=1
        ),
    ]


def _anchor_nodes(output: str, tensor: str, channels: int) -> list[NodeProto]:
    """(batch, channels, height, width) to (batch, 2·height·width, channels), every second row zero."""
    rows, pairs = f"{output}/rows", f"{output}/pairs"
    return [
        helper.make_node("Transpose", [tensor], [f"{output}/last"], f"{output}/last", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [f"{output}/last", f"to_{channels}"], [rows], rows),
        helper.make_node("Pad", [rows, f"second_of_{channels}"], [pairs], pairs),
        helper.make_node("Reshape", [pairs, f"to_{channels}"], [output], output),
    ]
