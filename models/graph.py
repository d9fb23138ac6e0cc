"""Looks up the nodes of a graph: which node produces a tensor, which nodes read it, the weights of a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

Weights = dict[str, NDArray[Any]]


class Graph:
    """The producers and consumers in a model's main graph, without later changes of the model."""

    def __init__(self, model: ModelProto) -> None:
        self.constants: Weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._outputs = {value.name for value in model.graph.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def maker(self, tensor: str) -> NodeProto | None:
        """The node that produces the tensor; None for inputs and weights."""
        return self._makers.get(tensor)

    def readers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read the tensor."""
        return self._readers.get(tensor, [])

    def only_reader(self, tensor: str) -> NodeProto | None:
        """The only node that reads the tensor; None if there are several, or if the tensor is an output."""
        readers = self.readers(tensor)
        return readers[0] if len(readers) == 1 and tensor not in self._outputs else None

    def leaves(self, tensor: str) -> bool:
        """Whether the tensor is an output of the model."""
        return tensor in self._outputs

    def kernel(self, node: NodeProto) -> NDArray[np.float32] | None:
        """The weights of a 2-D convolution, (out, in per group, height, width); None for any other node."""
        if node.op_type != "Conv":
            return None
        weights = self.constants.get(node.input[1])
        if weights is None or weights.ndim != _CONV_2D or weights.dtype != np.float32:
            return None
        return weights.astype(np.float32, copy=False)

    def is_pointwise(self, node: NodeProto) -> bool:
        """Whether the node is a convolution of all channels into all."""
        return self.kernel(node) is not None and groups_of(node) == 1

    def is_depthwise(self, node: NodeProto) -> bool:
        """Whether the node is a convolution of each channel with itself alone."""
        kernel = self.kernel(node)
        return kernel is not None and kernel.shape[1] == 1 and kernel.shape[0] == groups_of(node)


_CONV_2D = 4


def groups_of(node: NodeProto) -> int:
    """The `group` of a convolution."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
