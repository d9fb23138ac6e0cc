"""ONNX Runtime sessions for one shape each, whose input is a buffer that is filled and then run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bentos.pipeline.batched.device_memory import DeviceInput
from bentos.pipeline.providers import CPU, Provider, require_in_use

logger = logging.getLogger(__name__)

_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "CUDAExecutionProvider": {
        "cudnn_conv_algo_search": "HEURISTIC",  # once for each shape; EXHAUSTIVE takes seconds for each
        "arena_extend_strategy": "kSameAsRequested",  # by default each of some forty pools doubles when it grows
    }
}
"""Options of the providers, unless others are given."""

_GRAPH_OPTIONS = {
    "CUDAExecutionProvider": "enable_cuda_graph",
    "TensorrtExecutionProvider": "trt_cuda_graph_enable",
}
"""Without a graph every kernel of every layer is started from this thread, which takes longer than its work."""


class FixedSession(Protocol):
    """A network for one shape; for one thread at a time."""

    buffer: NDArray[np.uint8]
    """The input, batch first: fill it, then call `run`."""

    def run(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the network over the buffer; the outputs of these names, batch first."""

    def output(self, name: str) -> NDArray[np.float32]:
        """Another output of the last run."""


class HostSession:
    """See `FixedSession`; on the CPU."""

    def __init__(self, session: Any, shape: Sequence[int]) -> None:
        self.buffer = np.zeros(shape, dtype=np.uint8)
        self._session = session
        self._input = session.get_inputs()[0].name
        self._names = [each.name for each in session.get_outputs()]
        self._outputs: dict[str, NDArray[np.float32]] = {}

    def run(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """See `FixedSession`."""
        made = self._session.run(self._names, {self._input: self.buffer})
        self._outputs = dict(zip(self._names, made, strict=True))
        return [self._outputs[name] for name in names]

    def output(self, name: str) -> NDArray[np.float32]:
        """See `FixedSession`."""
        return self._outputs[name]


class DeviceSession:
    """See `FixedSession`; on a GPU. Inputs and outputs stay at fixed addresses, as a CUDA graph needs them."""

    def __init__(self, session: Any, shape: Sequence[int]) -> None:
        self._session = session
        self._input = DeviceInput(shape)
        self.buffer = self._input.buffer
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input.value)
        self._outputs: dict[str, Any] = {}
        for each in session.get_outputs():
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(each.shape, np.float32, "cuda", 0)
            self._outputs[each.name] = value
            self._binding.bind_ortvalue_output(each.name, value)

    def run(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """See `FixedSession`."""
        self._input.send()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return [self.output(name) for name in names]

    def output(self, name: str) -> NDArray[np.float32]:
        """See `FixedSession`."""
        value: NDArray[np.float32] = self._outputs[name].numpy()
        return value


def open_fixed(
    model: bytes, shape: Sequence[int], providers: Sequence[Provider], *, threads: int
) -> FixedSession:
    """A session for `model`, whose single input has this `shape`. Raises `ProviderNotInUse`.

    On a GPU after its first run, and as a CUDA graph, or without where ONNX Runtime cannot record one.
    """
    if {name for name, _ in providers} <= {CPU}:
        return HostSession(_session(model, providers, threads), shape)
    providers = [(name, {**_defaults(name, model), **options}) for name, options in providers]
    with_graph = [(name, _with_graph(name, options)) for name, options in providers]
    try:
        return _warmed(DeviceSession(_session(model, with_graph, threads), shape))
    except RuntimeError as error:  # ONNX Runtime's errors are
        if with_graph == list(providers):
            raise
        logger.warning("without a CUDA graph for shape %s: %s", tuple(shape), error)
        return _warmed(DeviceSession(_session(model, providers, threads), shape))


def _defaults(provider: str, model: bytes) -> Mapping[str, str]:
    """TensorRT names an engine by the names in the network alone: one shape would load the engine of another."""
    if provider == "TensorrtExecutionProvider":
        return {"trt_engine_cache_prefix": sha256(model).hexdigest()[:16]}
    return _DEFAULTS.get(provider, {})


def _session(model: bytes, providers: Sequence[Provider], threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if {name for name, _ in providers} <= {CPU}:
        _share_memory(options)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model, options, providers=[(name, dict(given)) for name, given in providers]
    )
    require_in_use(session, [name for name, _ in providers])
    return session


def _share_memory(options: Any) -> None:
    """One memory pool for all sessions on the CPU: some forty shapes with their own would keep gigabytes."""
    _create_shared_pool()
    options.add_session_config_entry("session.use_env_allocators", "1")


@cache
def _create_shared_pool() -> None:
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, None)


def _with_graph(name: str, options: Mapping[str, str]) -> Mapping[str, str]:
    option = _GRAPH_OPTIONS.get(name)
    return {option: "1", **options} if option else options


def _warmed(session: DeviceSession) -> FixedSession:
    session.run([])
    return session
