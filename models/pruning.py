"""Removes channels without effect from the graph, which are a third of the shipped MobileFaceNet's arithmetic.

Training made whole channels of its expanded layers zero. The depthwise convolution outputs a constant (its bias) for
such a channel, so the channel adds a constant to the projection that follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from models.conditioning import copy_of, replace_weights
from models.graph import Graph, groups_of

_NOTHING = 1e-7
"""A channel is dead when its depthwise weights are below this part of the layer's largest: float32's precision."""
_WITH_BIAS = 3
_BLOCK = 16
"""ONNX Runtime computes sixteen channels at once with AVX-512; other numbers are slower than the next multiple."""


@dataclass(frozen=True, slots=True)
class _Bottleneck:
    """A pointwise convolution, a depthwise one and a projection in a row, with a PRelu or nothing between."""

    expansion: NodeProto
    depthwise: NodeProto
    projection: NodeProto
    slopes: tuple[str, ...]
    last_slope: str | None


def drop_dead_channels(model: ModelProto) -> ModelProto:
    """Remove dead channels from every bottleneck and add their constants to the projection's bias."""
    pruned = copy_of(model)
    graph = Graph(pruned)
    for node in pruned.graph.node:
        bottleneck = _bottleneck_around(graph, node)
        if bottleneck is not None:
            _prune(graph, bottleneck)
    replace_weights(pruned, graph.constants)
    return pruned


def _bottleneck_around(graph: Graph, depthwise: NodeProto) -> _Bottleneck | None:
    if not graph.is_depthwise(depthwise):
        return None
    before, first_slope = _past_prelu(graph.maker(depthwise.input[0]), depthwise.input[0])
    expansion = graph.maker(before)
    projection = graph.only_reader(depthwise.output[0])
    last_slope = None
    if projection is not None and projection.op_type == "PRelu":
        last_slope = projection.input[1]
        projection = graph.only_reader(projection.output[0])
    if expansion is None or projection is None:
        return None
    slopes = tuple(slope for slope in (first_slope, last_slope) if slope is not None)
    found = _Bottleneck(expansion, depthwise, projection, slopes, last_slope)
    read_elsewhere = any(graph.only_reader(tensor) is None for tensor in (before, depthwise.input[0]))
    return found if not read_elsewhere and _can_be_pruned(graph, found) else None


def _past_prelu(node: NodeProto | None, tensor: str) -> tuple[str, str | None]:
    """The input and the slope of the PRelu that produces the tensor; the tensor itself if another node produces it."""
    if node is None or node.op_type != "PRelu":
        return tensor, None
    return node.input[0], node.input[1]


def _can_be_pruned(graph: Graph, found: _Bottleneck) -> bool:
    parts = (found.expansion, found.depthwise, found.projection)
    if any(len(part.input) != _WITH_BIAS for part in parts):
        return False
    weights = [*(name for part in parts for name in part.input[1:]), *found.slopes]
    channels = groups_of(found.depthwise)
    return (
        graph.is_pointwise(found.expansion)
        and graph.is_pointwise(found.projection)
        and not _is_padded(found.projection)
        and all(name in graph.constants and len(graph.readers(name)) == 1 for name in weights)
        and all(graph.constants[slope].shape == (channels, 1, 1) for slope in found.slopes)
    )


def _is_padded(node: NodeProto) -> bool:
    """Whether the convolution has padding: with it, the output is not constant at the border."""
    return any(
        (attribute.name == "pads" and any(attribute.ints))
        or (attribute.name == "auto_pad" and attribute.s not in (b"NOTSET", b"VALID"))
        for attribute in node.attribute
    )


def _prune(graph: Graph, bottleneck: _Bottleneck) -> None:
    constants = graph.constants
    _, kernel_name, bias_name = bottleneck.depthwise.input
    strength = np.abs(constants[kernel_name]).reshape(len(constants[kernel_name]), -1).max(axis=1)
    keep = _channels_to_keep(strength)
    if len(keep) == len(strength):
        return
    drop = np.setdiff1d(np.arange(len(strength)), keep)
    leaving = constants[bias_name][drop].astype(np.float64)
    if bottleneck.last_slope is not None:
        slope = constants[bottleneck.last_slope].reshape(-1)[drop]
        leaving = np.where(leaving < 0, leaving * slope, leaving)
    _, projection_name, projection_bias = bottleneck.projection.input
    projection = constants[projection_name]
    added = projection[:, drop].astype(np.float64).sum(axis=(2, 3)) @ leaving
    constants[projection_bias] = (constants[projection_bias] + added).astype(np.float32)
    constants[projection_name] = projection[:, keep]
    for name in (*bottleneck.expansion.input[1:], kernel_name, bias_name, *bottleneck.slopes):
        constants[name] = constants[name][keep]
    for attribute in bottleneck.depthwise.attribute:
        if attribute.name == "group":
            attribute.i = len(keep)


def _channels_to_keep(strength: NDArray[np.floating]) -> NDArray[np.intp]:
    """The channels to keep: those with an effect, and as many dead ones as fill the last block."""
    by_strength = np.argsort(-strength, kind="stable")
    alive = int((strength > _NOTHING * strength.max(initial=0)).sum())
    blocks = max(1, -(-alive // _BLOCK))
    return np.sort(by_strength[: blocks * _BLOCK])
