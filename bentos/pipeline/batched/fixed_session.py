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

from bentos.pipeline.batched.cuda_runtime import cuda_runtime
from bentos.pipeline.batched.device_session import DeviceSession
from bentos.pipeline.batched.self_check import LEAST_COSINE, SelfCheck
from bentos.pipeline.detector import Floats
from bentos.pipeline.providers import (
    CPU,
    Provider,
    errors_as_not_in_use,
    is_only_cpu,
    load_libraries,
    names_of,
    open_session,
    reason_of,
)

logger = logging.getLogger(__name__)

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


class FixedSessions:
    """Opens sessions, each in the thread that calls. `threads`: of ONNX Runtime on a CPU."""

    def __init__(self, providers: Sequence[Provider], *, threads: int) -> None:
        self._threads = threads
        self._providers = providers
        self._unconfirmed: list[tuple[Sequence[int], FixedSession, SelfCheck]] = []
        self._names = names_of(providers)
        load_libraries(self._names)
        # Before anything else uses the GPU.
        self._runtime = cuda_runtime() if {CUDA, TENSORRT}.intersection(self._names) else None

    def check(self, model: bytes) -> None:
        """Raise `ProviderNotInUse` when `model` does not run with all providers, or they do not take an option."""
        with errors_as_not_in_use(self._providers):
            self._session(model, self._providers)

    def open(self, model: bytes, shape: Sequence[int], *, is_usual: bool = True) -> FixedSession:
        """A session for `model`, whose single input has this `shape`. Raises what ONNX Runtime raises.

        On a GPU after its first run, and as a CUDA graph; without one where ONNX Runtime cannot record it, or its
        outputs are not those of the CPU. Where the GPU does not run it either, as when its memory is used up, a network
        that is not usual runs on the CPU.
        """
        if is_only_cpu(self._names):
            return self._on_host(model, shape)
        providers: list[Provider] = [
            (name, {**_defaults(name, model), **given}) for name, given in self._providers
        ]
        with_graph: list[Provider] = [(name, _with_graph(name, options)) for name, options in providers]
        failures: list[Exception] = []
        for attempt in [with_graph] if with_graph == providers else [with_graph, providers]:
            try:
                return self._opened(model, shape, attempt, is_usual=is_usual)
            except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other class in common
                failures.append(error.with_traceback(None))  # which would keep the memory of the session
                reason = reason_of(error)
                logger.warning("shape %s does not run with %s: %s", tuple(shape), dict(attempt), reason)
        if is_usual:
            raise failures[-1]
        logger.error("shape %s runs on the CPU", tuple(shape))
        return self._on_host(model, shape)

    def confirm(self) -> None:
        """Check again every usual session that has been opened since the last call, now that the others are open too.

        Raises `RuntimeError` when outputs have become other ones than those of the CPU.
        """
        while self._unconfirmed:
            shape, session, check = self._unconfirmed.pop()
            if (cosine := check.least_cosine(session)) < LEAST_COSINE:
                raise RuntimeError(
                    f"the outputs for shape {tuple(shape)} were right before other networks were opened, and are not "
                    f"any more (cosine {cosine:.3f}); without CUDA graphs they may be: ONNX_PROVIDER_OPTIONS="
                    f'{{"{CUDA}": {{"{_GRAPH_OPTIONS[CUDA]}": "0"}}}}'
                )

    @property
    def builds_engines(self) -> bool:
        """Whether opening a session takes minutes, unless its engine is in a volume."""
        return TENSORRT in self._names

    def _opened(
        self, model: bytes, shape: Sequence[int], providers: Sequence[Provider], *, is_usual: bool
    ) -> FixedSession:
        """A session with these providers. Raises `RuntimeError` when its outputs are not those of the CPU."""
        opened = self._session(model, providers)
        runtime = self._runtime
        session = HostSession(opened, shape) if runtime is None else DeviceSession(opened, shape, runtime)
        check = SelfCheck(self._on_host(model, shape), session.names)
        if (cosine := check.least_cosine(session)) < LEAST_COSINE:
            raise RuntimeError(f"its outputs are not those of the CPU (cosine {cosine:.3f})")
        if is_usual:
            self._unconfirmed.append((shape, session, check))
        return session

    def _on_host(self, model: bytes, shape: Sequence[int]) -> HostSession:
        return HostSession(self._session(model, [(CPU, {})]), shape)

    def _session(self, model: bytes, providers: Sequence[Provider]) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        if is_only_cpu(names_of(providers)):
            _share_memory(options)
        options.log_severity_level = 3
        return open_session(model, providers, options)


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
