"""An ONNX Runtime session on a GPU, with its input and outputs at fixed addresses, as a CUDA graph needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from bentos.pipeline.batched.cuda_runtime import CudaRuntime
from bentos.pipeline.detector import Floats

DEVICE = "cuda"
"""ONNX Runtime's name of the device on which inputs and outputs lie."""


class DeviceSession:
    """See `FixedSession`. The graph can only run in the thread that has recorded it.

    The copy of the input is over before the network begins, and the network before its outputs are copied: ONNX Runtime
    returns from a run when its stream has nothing left to do, with or without a graph.
    """

    def __init__(self, session: Any, shape: Sequence[int], runtime: CudaRuntime) -> None:
        self._session, self._runtime = session, runtime
        self.buffer = runtime.page_locked(shape, np.uint8)
        self._binding = session.io_binding()
        self._input: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.uint8, DEVICE, 0)
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._outputs: dict[str, _Output] = {}
        self.names: Sequence[str] = [each.name for each in session.get_outputs()]
        for each in session.get_outputs():
            value: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type(each.shape, np.float32, DEVICE, 0)
            self._binding.bind_ortvalue_output(each.name, value)
            self._outputs[each.name] = _Output(value, each.shape)
        self._run()  # chooses the algorithms, and records the graph

    def run(self, names: Sequence[str], count: int) -> list[Floats]:
        """See `FixedSession`."""
        self._runtime.send(self._input.data_ptr(), self.buffer[:count])
        self._run()
        made = []
        for name in names:
            output = self._outputs[name]
            if output.host is None:
                output.host = self._runtime.page_locked(output.shape, np.float32)
            made.append(output.host[:count])
            self._runtime.fetch(made[-1], output.value.data_ptr())
        return made

    def _run(self) -> None:
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()


@dataclass(slots=True)
class _Output:
    """An output on the GPU, and its copy in the host's memory, made when it is first asked for."""

    value: Any
    shape: Sequence[int]
    host: Floats | None = None
