"""ONNX Runtime sessions for one shape each, whose input is a buffer that is filled and then run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bentos.pipeline.batched import graphs
from bentos.pipeline.batched.cuda_runtime import CudaRuntime, cuda_runtime
from bentos.pipeline.batched.self_check import LEAST_COSINE, least_cosine
from bentos.pipeline.providers import CPU, Provider, ProviderNotInUse, require_in_use

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]
CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"

_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    CUDA: {
        "cudnn_conv_algo_search": "HEURISTIC",  # once for each shape; EXHAUSTIVE takes seconds for each
        "arena_extend_strategy": "kSameAsRequested",  # by default each of some forty pools doubles when it grows
    }
}
"""Options of the providers, unless others are given."""

_GRAPH_OPTIONS = {CUDA: "enable_cuda_graph", TENSORRT: "trt_cuda_graph_enable"}
"""Without a graph every kernel of every layer is started from this thread, which takes longer than its work."""


class FixedSession(Protocol):
    """A network for batches of one shape; for the thread that opened it."""

    buffer: NDArray[np.uint8]
    """The input, batch first: fill it, then call `run`."""
    names: Sequence[str]
    """The outputs."""

    def run(self, names: Sequence[str], count: int) -> list[Floats]:
        """Run the network; the outputs of these names for the first `count` places, valid until the next run."""


class HostSession:
    """See `FixedSession`; on the CPU."""

    def __init__(self, session: Any, shape: Sequence[int]) -> None:
        self.buffer = np.zeros(shape, dtype=np.uint8)
        self._session = session
        self._input = session.get_inputs()[0].name
        self.names: Sequence[str] = [each.name for each in session.get_outputs()]

    def run(self, names: Sequence[str], count: int) -> list[Floats]:
        """See `FixedSession`."""
        made = self._session.run(list(names), {self._input: self.buffer})
        return [each[:count] for each in made]


class DeviceSession:
    """See `FixedSession`; on a GPU.

    Inputs and outputs stay at fixed addresses, as a CUDA graph needs them. The graph can only run in the thread that
    has recorded it. The copy of the input is over before the network begins, and the network before its outputs are
    copied: copies that were only queued in the stream that ONNX Runtime was given gave wrong faces
    (docs/performance.md).
    """

    def __init__(self, session: Any, shape: Sequence[int], runtime: CudaRuntime) -> None:
        self._session, self._runtime = session, runtime
        self.buffer = runtime.page_locked(shape, np.uint8)
        self._binding = session.io_binding()
        self._input: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.uint8, "cuda", 0)
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._outputs: dict[str, _Output] = {}
        self.names: Sequence[str] = [each.name for each in session.get_outputs()]
        for each in session.get_outputs():
            value: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type(each.shape, np.float32, "cuda", 0)
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


class FixedSessions:
    """Opens sessions, each in the thread that calls. `threads`: of ONNX Runtime on a CPU."""

    def __init__(self, providers: Sequence[Provider], *, threads: int) -> None:
        self._threads = threads
        self._providers = providers
        on_cpu = {name for name, _ in providers} <= {CPU}
        self._runtime = None if on_cpu else cuda_runtime()  # before anything else uses the GPU

    def check(self, model: bytes) -> None:
        """Raise `ProviderNotInUse` when `model` does not run with all providers, or they do not know an option."""
        try:
            self._session(model, self._providers)
        except RuntimeError as error:  # ONNX Runtime's errors are
            raise ProviderNotInUse(
                f"{', '.join(name for name, _ in self._providers)} cannot be used: {str(error).splitlines()[0]}"
            ) from None

    def open(self, model: bytes, shape: Sequence[int]) -> FixedSession:
        """A session for `model`, whose single input has this `shape`. Raises `ProviderNotInUse`.

        On a GPU after its first run, and as a CUDA graph; without one where ONNX Runtime cannot record it, or its
        outputs are not those of the CPU.
        """
        runtime = self._runtime
        if runtime is None:
            return self._on_host(model, shape)
        providers = [(name, {**_defaults(name, model), **given}) for name, given in self._providers]
        with_graph = [(name, _with_graph(name, options)) for name, options in providers]
        try:
            return self._checked(
                DeviceSession(self._session(model, with_graph), shape, runtime), model, shape
            )
        except RuntimeError as error:  # ONNX Runtime's errors are
            if with_graph == providers:
                raise
            logger.warning("without a CUDA graph for shape %s: %s", tuple(shape), error)
            return self._checked(DeviceSession(self._session(model, providers), shape, runtime), model, shape)

    def _checked(self, session: DeviceSession, model: bytes, shape: Sequence[int]) -> DeviceSession:
        """The session. Raises `RuntimeError` when its outputs are not those of the CPU."""
        cosine = least_cosine(session, self._on_host(model, shape), unranked(session.names))
        if cosine < LEAST_COSINE:
            raise RuntimeError(f"its outputs are not those of the CPU (cosine {cosine:.3f})")
        return session

    def _on_host(self, model: bytes, shape: Sequence[int]) -> HostSession:
        return HostSession(self._session(model, [(CPU, {})]), shape)

    def _session(self, model: bytes, providers: Sequence[Provider]) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        if {name for name, _ in providers} <= {CPU}:
            _share_memory(options)
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model,
            options,
            providers=[(name, dict(given)) for name, given in providers],
            enable_fallback=0,  # otherwise an option that is not known means the CPU
        )
        require_in_use(session, [name for name, _ in providers])
        return session


def unranked(names: Sequence[str]) -> list[str]:
    """The outputs without those whose rows are ordered by score: equal ones may change places."""
    return [name for name in names if name not in {graphs.BEST_SCORES, graphs.BEST_ROWS}]


def _defaults(provider: str, model: bytes) -> Mapping[str, str]:
    """TensorRT names an engine by the names in the network alone: one shape would load the engine of another."""
    if provider == TENSORRT:
        return {"trt_engine_cache_prefix": sha256(model).hexdigest()[:16]}
    return _DEFAULTS.get(provider, {})


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
