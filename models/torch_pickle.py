"""Reads tensors out of a file that `torch.save` wrote in its legacy format, without torch and without running code.

The format is a sequence of pickles (magic number, version, sizes of the writer's types, the state dict, the keys
of the storages) followed by the storages: for each an 8-byte count and its numbers, little endian. A pickle may
name any function to be called while it is read; `_TensorUnpickler` knows three names and refuses all others.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from models.errors import PackError

Tensors = dict[str, NDArray[np.float32]]

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8
_FLOAT = np.dtype("<f4")


class _Float32Storage:
    """Stands for the class `torch.FloatStorage`, which the pickle names as the type of a storage."""


@dataclass(frozen=True)
class _Storage:
    key: str
    size: int


@dataclass(frozen=True)
class _View:
    """A tensor before the numbers are known: which part of a storage it is."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> Tensors:
    """The tensors of a state dict by name, float32. Raises `PackError` when the file is anything else."""
    try:
        return _read(io.BytesIO(path.read_bytes()))
    except PackError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its opcodes stumble over
        raise PackError(
            f"{path.name} is not a state dict in the legacy format of torch ({error}): it is damaged or another file."
        ) from error


def _read(stream: io.BytesIO) -> Tensors:
    if _load(stream) != _MAGIC_NUMBER or _load(stream) != _PROTOCOL:
        raise ValueError("the magic number or the version is another")
    if _load(stream).get("little_endian") is not True:
        raise ValueError("the numbers are big endian")
    views = _load(stream)
    storages = {key: _read_storage(stream) for key in _load(stream)}
    if not isinstance(views, OrderedDict) or not all(isinstance(view, _View) for view in views.values()):
        raise ValueError("it holds something else than tensors")
    return {str(name): _tensor(view, storages[view.storage.key]) for name, view in views.items()}


def _load(stream: io.BytesIO) -> Any:
    return _TensorUnpickler(stream).load()


class _TensorUnpickler(pickle.Unpickler):
    """Resolves the three names that a state dict of float32 tensors needs, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of that name. Raises `PackError` for all but the known three."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise PackError(
                f"The weights' pickle asks for {module}.{name}, which is no tensor: the file is not to be trusted."
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, described by a tuple that begins with "storage"."""
        kind, storage_type, key, _device, size, _view = pid
        if kind != "storage" or storage_type is not _Float32Storage:
            raise ValueError("a storage holds no float32")
        return _Storage(str(key), int(size))


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_unused: object
) -> _View:
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor has no storage")
    return _View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _Float32Storage,
}


def _read_storage(stream: io.BytesIO) -> NDArray[np.float32]:
    count = int.from_bytes(_exactly(stream, _COUNT_BYTES), "little")
    return np.frombuffer(_exactly(stream, count * _FLOAT.itemsize), _FLOAT)


def _exactly(stream: io.BytesIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        _cut_short()
    return found


def _cut_short() -> NoReturn:
    raise ValueError("it ends too early")


def _tensor(view: _View, storage: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of the part of the storage. Sizes and strides come from the file, so that none may leave the storage."""
    if len(view.shape) != len(view.strides) or min((view.offset, *view.shape, *view.strides)) < 0:
        raise ValueError("a tensor has an impossible shape")
    last = view.offset + sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
    if 0 in view.shape or last >= storage.size or math.prod(view.shape) > storage.size:
        raise ValueError("a tensor is larger than its storage")
    strides = tuple(stride * storage.itemsize for stride in view.strides)
    return np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides).astype(np.float32)
