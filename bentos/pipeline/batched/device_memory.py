"""The input of a network in GPU memory, with a page-locked buffer in front, from which the GPU copies at full speed."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12")
_TO_DEVICE = 1


class DeviceInput:
    """A uint8 tensor on the GPU, `value`, and its `buffer` in the host's memory."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.value: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.uint8, "cuda", 0)
        self._runtime = _runtime()
        self.buffer = _page_locked(self._runtime, shape)

    def send(self) -> None:
        """Copy the buffer to the GPU. Through CUDA itself the copy leaves the interpreter free for other threads."""
        if self._runtime is None:
            self.value.update_inplace(self.buffer)
            return
        source = self.buffer.ctypes.data_as(ctypes.c_void_p)
        target = ctypes.c_void_p(self.value.data_ptr())
        failed = self._runtime.cudaMemcpy(target, source, ctypes.c_size_t(self.buffer.nbytes), _TO_DEVICE)
        if failed or self._runtime.cudaStreamSynchronize(None):
            raise RuntimeError(f"the copy to the GPU failed with CUDA error {failed}")


def _page_locked(runtime: Any, shape: Sequence[int]) -> NDArray[np.uint8]:
    """A zeroed array that lives as long as the process."""
    size = prod(shape)
    pointer = ctypes.c_void_p()
    if runtime is None or runtime.cudaHostAlloc(ctypes.byref(pointer), ctypes.c_size_t(size), 0):
        return np.zeros(shape, dtype=np.uint8)
    there: Any = (ctypes.c_uint8 * size).from_address(pointer.value or 0)
    array: NDArray[np.uint8] = np.frombuffer(there, dtype=np.uint8).reshape(shape)
    array[:] = 0
    return array


@cache
def _runtime() -> Any:
    """The CUDA runtime that ONNX Runtime has loaded, or None."""
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    logger.warning("%s are not found: copies to the GPU hold the interpreter", ", ".join(_LIBRARIES))
    return None
