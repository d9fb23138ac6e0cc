"""Weights out of torch's legacy files, honest ones and others."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import PackError
from models.published import Published
from models.torch_pickle import read_tensors

MAGIC = 0x1950A86A20F9469CFC6C
NUMBERS = np.arange(12, dtype="<f4")


class _Named:
    """A name that a pickle asks for, without the module that has it."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Storage:
    def __init__(self, kind: _Named, key: str, size: int) -> None:
        self.id = ("storage", kind, key, "cpu", size, None)


class _Call:
    def __init__(self, function: _Named, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class _Writer(pickle._Pickler):
    """Writes what torch writes, with names in place of functions."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.id if isinstance(obj, _Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, _Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, _Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


FLOATS = _Named("torch", "FloatStorage")
REBUILD = _Named("torch._utils", "_rebuild_tensor_v2")


def _tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, kind: _Named = FLOATS, key: str = "1"
) -> _Call:
    return _Call(REBUILD, _Storage(kind, key, len(NUMBERS)), offset, shape, strides, False, OrderedDict())


def _written(folder: Path, state: Any, *, magic: int = MAGIC, keys: Any = ("1",), numbers: int = 12) -> Path:
    path = folder / "weights.pt"
    with path.open("wb") as file:
        for part in (magic, 1001, {"little_endian": True}, state, list(keys)):
            _Writer(file, 2).dump(part)
        for _ in keys:
            file.write(struct.pack("<q", numbers) + NUMBERS.tobytes())
    return path


def test_tensors_come_out_with_their_shapes_and_numbers(tmp_path: Path) -> None:
    state = OrderedDict(
        plain=_tensor((3, 4), (4, 1)), turned=_tensor((4, 3), (1, 4)), part=_tensor((2,), (1,), 10)
    )
    found = read_tensors(_written(tmp_path, state))
    assert list(found) == ["plain", "turned", "part"]
    np.testing.assert_array_equal(found["plain"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [10, 11])


def test_the_published_weights_have_all_parameters(published: Published) -> None:
    tensors = read_tensors(published.landmarks)
    assert sum(tensor.size for tensor in tensors.values()) == 389_040
    assert tensors["conv1.weight"].shape == (32, 3, 3, 3)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("numpy", "load"),
        ("collections", "defaultdict"),
        ("pickle", "loads"),
    ],
)
def test_a_pickle_that_asks_for_a_function_is_refused_before_the_call(
    module: str, name: str, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    state = OrderedDict(weight=_Call(_Named(module, name), f"touch {witness}"))
    with pytest.raises(PackError, match=rf"asks for {module}\.{name}"):
        read_tensors(_written(tmp_path, state))
    assert not witness.exists()


def test_a_pickle_with_an_object_that_runs_a_command_is_refused(tmp_path: Path) -> None:
    class Command:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'witness'}",)

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Command(), 2))
    with pytest.raises(PackError, match="not to be trusted"):
        read_tensors(path)
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    "state",
    [
        OrderedDict(weight=_tensor((3, 5), (5, 1))),
        OrderedDict(weight=_tensor((3, 4), (4, 1), 1)),
        OrderedDict(weight=_tensor((3, 4), (4, -1), 8)),
        OrderedDict(weight=_tensor((10**9,), (0,))),
        OrderedDict(weight=_tensor((3, 4), (1,))),
        OrderedDict(weight=_tensor((0, 4), (4, 1))),
        OrderedDict(weight=_tensor((3, 4), (4, 1), key="2")),
        OrderedDict(weight=_tensor((3, 4), (4, 1), kind=_Named("collections", "OrderedDict"))),
        OrderedDict(weight="no tensor"),
        ["no dict"],
    ],
    ids=[
        "larger",
        "shifted",
        "backwards",
        "a billion",
        "ranks",
        "empty",
        "no storage",
        "kind",
        "text",
        "list",
    ],
)
def test_a_tensor_that_is_not_within_its_storage_is_refused(state: Any, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="not a state dict"):
        read_tensors(_written(tmp_path, state))


def test_another_file_is_refused(tmp_path: Path, published: Published) -> None:
    good = OrderedDict(weight=_tensor((3, 4), (4, 1)))
    cut = tmp_path / "cut.pt"
    whole = published.landmarks.read_bytes()
    for path in (_written(tmp_path, good, magic=1), _written(tmp_path, good, numbers=2**40), cut):
        cut.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PackError, match="not a state dict"):
            read_tensors(path)
