"""What the CUDA runtime has and ONNX Runtime does not offer: page-locked memory, copies, and sleep while it works."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12")
_TO_DEVICE, _TO_HOST = 1, 2
_SLEEP = 4  # cudaDeviceScheduleBlockingSync
_ADDRESS, _SIZE, _INT, _UNSIGNED = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint


class CudaRuntime:
    """The library of this name. Raises `OSError` without it, and `RuntimeError` when CUDA does not succeed.

    A copy is over when its call returns, and leaves the interpreter free for other threads.
    """

    def __init__(self, name: str) -> None:
        self._library = library = ctypes.CDLL(name)
        library.cudaMemcpy.argtypes = [_ADDRESS, _ADDRESS, _SIZE, _INT]
        library.cudaStreamSynchronize.argtypes = [_ADDRESS]
        library.cudaHostAlloc.argtypes = [ctypes.POINTER(_ADDRESS), _SIZE, _UNSIGNED]
        # A thread that waits for the GPU sleeps. By default it keeps a CPU busy, which others need for decoding.
        self._ignore_failure(library.cudaSetDeviceFlags(_SLEEP))
        count = ctypes.c_int()
        _check("its devices", library.cudaGetDeviceCount(ctypes.byref(count)))

    def page_locked(self, shape: Sequence[int], dtype: Any) -> NDArray[Any]:
        """A zeroed array from which the GPU copies at full speed. It lives as long as the process."""
        made = np.zeros(shape, dtype=dtype)
        address = _ADDRESS()
        if not self._ignore_failure(self._library.cudaHostAlloc(ctypes.byref(address), made.nbytes, 0)):
            return made
        there: Any = (ctypes.c_uint8 * made.nbytes).from_address(address.value or 0)
        locked: NDArray[Any] = np.frombuffer(there, dtype=dtype, count=prod(shape)).reshape(shape)
        locked[:] = 0
        return locked

    def send(self, target: int, items: NDArray[Any]) -> None:
        """Copy the array to the GPU's address `target`."""
        _check("a copy to it", self._library.cudaMemcpy(target, items.ctypes.data, items.nbytes, _TO_DEVICE))
        _check("a copy to it", self._library.cudaStreamSynchronize(None))

    def fetch(self, into: NDArray[Any], source: int) -> None:
        """Fill the array from the GPU's address `source`."""
        _check("a copy from it", self._library.cudaMemcpy(into.ctypes.data, source, into.nbytes, _TO_HOST))

    def _ignore_failure(self, error: int) -> bool:
        """Whether a call has succeeded; otherwise its error is cleared: ONNX Runtime would take it for its own."""
        if error:
            self._library.cudaGetLastError()
        return not error


@cache
def cuda_runtime() -> CudaRuntime | None:
    """The CUDA runtime that ONNX Runtime has loaded; None where there is none, or no GPU."""
    for name in _LIBRARIES:
        try:
            return CudaRuntime(name)
        except OSError:
            continue
        except RuntimeError as error:
            logger.warning("the CUDA runtime cannot be used: %s", error)
            return None
    logger.warning("%s are not found: ONNX Runtime copies to the GPU, which is slower", ", ".join(_LIBRARIES))
    return None


def _check(what: str, error: int) -> None:
    if error:
        raise RuntimeError(f"the GPU failed at {what} with CUDA error {error}")
