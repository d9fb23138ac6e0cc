"""MTCNN's O-Net as an ONNX graph, and the same layers in plain numpy to compare the graph with.

O-Net (Zhang et al. 2016, arXiv:1604.02878) looks at a face of 48 × 48 pixels and gives the probability that it is one,
corrections of its box, and five landmarks. The layers and the order of the numbers are those of the package
`facenet-pytorch`, class `ONet` of `facenet_pytorch/models/mtcnn.py`, which trained weights are published for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from models.conditioning import BATCH
from models.errors import PackError
from models.torch_pickle import Tensors

SIDE = 48
_POINTS = 5
_BOX = 4
_FLAT = (128, 3, 3)
"""Channels, height and width of what the last convolution gives."""
_SHAPES = {
    "conv1": (32, 3, 3, 3),
    "conv2": (64, 32, 3, 3),
    "conv3": (64, 64, 3, 3),
    "conv4": (128, 64, 2, 2),
    "dense5": (256, 1152),
    "dense6_1": (2, 256),
    "dense6_2": (4, 256),
    "dense6_3": (10, 256),
}
_POOLS = {"conv1": (3, 2), "conv2": (3, 2), "conv3": (2, 2)}
"""Kernel and stride of the maximum that follows a convolution."""
_MEAN, _DEVIATION = 127.5, 128.0
_OPSET = 17
_IR_VERSION = 8


def to_onnx(tensors: Tensors) -> ModelProto:
    """O-Net with those weights. Raises `PackError` when they are not O-Net's.

    input `faces`: (batch, 48, 48, 3) uint8, BGR, so that pixels go in as OpenCV makes them.
    outputs: `probability` (batch,) float32, 0..1; `box` (batch, 4), corrections of x1, y1, x2, y2 in shares of the
    sides; `landmarks` (batch, 5, 2), x and y of each point in shares of the side.
    """
    _check(tensors)
    weights = _graph_weights(tensors)
    nodes = [
        helper.make_node("Cast", ["faces"], ["numbers"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["pixels"], "planes", perm=[0, 3, 1, 2]),
    ]
    current = "pixels"
    for layer in (1, 2, 3, 4, 5):
        nodes += _layer_nodes(f"conv{layer}", current, f"act{layer}")
        current = f"act{layer}"
        if f"conv{layer}" in _POOLS:
            kernel, stride = _POOLS[f"conv{layer}"]
            nodes.append(_pool_node(current, f"pool{layer}", kernel, stride))
            current = f"pool{layer}"
    nodes += _output_nodes(current)
    graph = helper.make_graph(
        nodes,
        "onet",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, [BATCH, SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [BATCH]),
            helper.make_tensor_value_info("box", TensorProto.FLOAT, [BATCH, _BOX]),
            helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, [BATCH, _POINTS, 2]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model)
    return model


def reference(tensors: Tensors, faces: NDArray[np.uint8]) -> tuple[NDArray[np.float64], ...]:
    """What the layers give, computed in float64 as facenet-pytorch writes them; the outputs of `to_onnx`."""
    x = (faces[..., ::-1].astype(np.float64).transpose(0, 3, 1, 2) - _MEAN) / _DEVIATION
    for layer in (1, 2, 3, 4):
        x = _convolved(x, tensors[f"conv{layer}.weight"], tensors[f"conv{layer}.bias"])
        x = _prelu(x, tensors[f"prelu{layer}.weight"].reshape(-1, 1, 1))
        if f"conv{layer}" in _POOLS:
            x = _pooled(x, *_POOLS[f"conv{layer}"])
    # facenet-pytorch flattens columns, rows, channels, in this order.
    x = x.transpose(0, 3, 2, 1).reshape(len(x), -1)
    x = _prelu(_dense(x, tensors, "dense5"), tensors["prelu5.weight"])
    face = np.exp(_dense(x, tensors, "dense6_1"))
    points = _dense(x, tensors, "dense6_3").reshape(-1, 2, _POINTS)
    return face[:, 1] / face.sum(axis=1), _dense(x, tensors, "dense6_2"), points.transpose(0, 2, 1)


def _check(tensors: Tensors) -> None:
    for name, shape in _SHAPES.items():
        slopes = {} if name.startswith("dense6") else {f"prelu{name[-1]}.weight": shape[:1]}
        expected = {f"{name}.weight": shape, f"{name}.bias": shape[:1], **slopes}
        for key, wanted in expected.items():
            found = tensors.get(key)
            if found is None or found.shape != wanted or not np.isfinite(found).all():
                raise PackError(f"The weights are not O-Net's: {key} is missing or has another shape.")


def _graph_weights(tensors: Tensors) -> Tensors:
    """Scaling and channel order of the input go into the first convolution, and dense layers become convolutions."""
    weights = {
        f"conv{n}/{kind}": tensors[f"conv{n}.{kind}"] for n in (1, 2, 3, 4) for kind in ("weight", "bias")
    }
    weights |= {f"conv{n}/slope": tensors[f"prelu{n}.weight"].reshape(-1, 1, 1) for n in (1, 2, 3, 4, 5)}
    # Exact, because the first convolution does not pad.
    first = tensors["conv1.weight"].astype(np.float64)
    weights["conv1/weight"] = (first[:, ::-1] / _DEVIATION).astype(np.float32)
    weights["conv1/bias"] = (tensors["conv1.bias"] - first.sum(axis=(1, 2, 3)) * _MEAN / _DEVIATION).astype(
        np.float32
    )
    channels, height, width = _FLAT
    dense5 = tensors["dense5.weight"].reshape(-1, width, height, channels).transpose(0, 3, 2, 1)
    weights |= {"conv5/weight": dense5, "conv5/bias": tensors["dense5.bias"]}
    for kind in ("weight", "bias"):
        no_face, face = tensors[f"dense6_1.{kind}"]
        points = tensors[f"dense6_3.{kind}"].reshape(2, _POINTS, -1).swapaxes(0, 1).reshape(2 * _POINTS, -1)
        parts = [(face - no_face).reshape(1, -1), tensors[f"dense6_2.{kind}"].reshape(_BOX, -1), points]
        weights[f"heads/{kind}"] = np.concatenate(parts)
    weights["heads/weight"] = weights["heads/weight"][:, :, None, None]
    weights["heads/bias"] = weights["heads/bias"].ravel()
    shapes = {
        "parts": [1, _BOX, 2 * _POINTS],
        "one": [-1],
        "box_shape": [-1, _BOX],
        "points_shape": [-1, _POINTS, 2],
    }
    return weights | {name: np.array(value, np.int64) for name, value in shapes.items()}


def _layer_nodes(name: str, source: str, target: str) -> list[NodeProto]:
    return [
        helper.make_node("Conv", [source, f"{name}/weight", f"{name}/bias"], [f"{name}/out"], name),
        helper.make_node("PRelu", [f"{name}/out", f"{name}/slope"], [target], target),
    ]


def _pool_node(source: str, target: str, kernel: int, stride: int) -> NodeProto:
    return helper.make_node(
        "MaxPool",
        [source],
        [target],
        target,
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        ceil_mode=1,
    )


def _output_nodes(source: str) -> list[NodeProto]:
    return [
        helper.make_node("Conv", [source, "heads/weight", "heads/bias"], ["heads"], "heads"),
        helper.make_node("Split", ["heads", "parts"], ["face", "corrections", "points"], "split", axis=1),
        helper.make_node("Sigmoid", ["face"], ["sure"], "sure"),
        helper.make_node("Reshape", ["sure", "one"], ["probability"], "probability"),
        helper.make_node("Reshape", ["corrections", "box_shape"], ["box"], "box"),
        helper.make_node("Reshape", ["points", "points_shape"], ["landmarks"], "landmarks"),
    ]


def _convolved(
    x: NDArray[np.float64], kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
    found = np.einsum("nchwij,ocij->nohw", windows, kernel.astype(np.float64), optimize=True)
    return np.asarray(found + bias.reshape(-1, 1, 1), np.float64)


def _pooled(x: NDArray[np.float64], kernel: int, stride: int) -> NDArray[np.float64]:
    """The maximum of each window; the last one of a row or column may hang over the border."""
    out = [-(-(size - kernel) // stride) + 1 for size in x.shape[2:]]
    missing = [(n - 1) * stride + kernel - size for n, size in zip(out, x.shape[2:], strict=True)]
    padded = np.pad(x, ((0, 0), (0, 0), *((0, max(0, m)) for m in missing)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    return np.asarray(windows[:, :, ::stride, ::stride].max(axis=(4, 5)))


def _prelu(x: NDArray[np.float64], slope: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.where(x > 0, x, slope * x)


def _dense(x: NDArray[np.float64], tensors: Tensors, name: str) -> NDArray[np.float64]:
    return np.asarray(x @ tensors[f"{name}.weight"].astype(np.float64).T + tensors[f"{name}.bias"])
