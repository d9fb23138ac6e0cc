"""Tests of the sessions on a GPU and of their copies, with the CPU's memory in place of a GPU's.

ONNX Runtime binds inputs and outputs at fixed addresses on the CPU too; only the functions of the CUDA runtime are not
its own here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import FacesInImage
from bentos.pipeline.batched import cuda_runtime as module
from bentos.pipeline.batched import device_session, graphs
from bentos.pipeline.batched.cuda_runtime import CudaRuntime
from bentos.pipeline.batched.device_session import DeviceSession
from bentos.pipeline.batched.fixed_session import FixedSessions
from bentos.pipeline.pack_info import LANDMARKS_FILE
from bentos.pipeline.providers import Provider
from bentos.runner import local
from bentos.runner.local import extraction_of
from tests.unit.pipeline.test_fixed_session import OTHER

SHAPE = (3, 48, 48, 3)


class Function:
    """A function of a library: `argtypes` can be set."""

    def __init__(self, function: Callable[..., int]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> int:
        return self._function(*arguments)


class Library:
    """The functions of the CUDA runtime over the memory of this process. `calls`: in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.copies_fail_with = self.locks_fail_with = 0
        self._locked: list[Any] = []
        self.cudaMemcpy = Function(self._copy)
        self.cudaStreamSynchronize = Function(self._wait)
        self.cudaHostAlloc = Function(self._lock)
        self.cudaGetDeviceCount = Function(self._count)
        self.cudaSetDeviceFlags = Function(lambda _flags: 0)
        self.cudaGetLastError = Function(self._clear)

    def _copy(self, target: int, source: int, size: int, kind: int) -> int:
        ctypes.memmove(target, source, size)
        self.calls.append({1: "send", 2: "fetch"}[kind])
        return self.copies_fail_with

    def _wait(self, stream: Any) -> int:
        assert stream is None  # the stream of cudaMemcpy
        self.calls.append("wait")
        return 0

    def _lock(self, address: Any, size: int, _flags: int) -> int:
        if not self.locks_fail_with:
            self._locked.append(ctypes.create_string_buffer(size))
            address._obj.value = ctypes.addressof(self._locked[-1])
        return self.locks_fail_with

    def _clear(self) -> int:
        self.calls.append("clear")
        return 0

    @staticmethod
    def _count(count: Any) -> int:
        count._obj.value = 1
        return 0


class Recording:
    """A session that tells `calls` when it runs."""

    def __init__(self, session: Any, calls: list[str]) -> None:
        self._session, self._calls = session, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any) -> None:
        self._calls.append("run")
        self._session.run_with_iobinding(binding)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _name: made)
    monkeypatch.setattr(device_session, "DEVICE", "cpu")
    return made


@pytest.fixture(scope="module")
def landmarks(pack_folder: Path) -> Any:
    model = graphs.with_fixed_batch(graphs.load(str(pack_folder / LANDMARKS_FILE)), SHAPE[0])
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_copies_to_the_gpu_end_before_the_run_and_copies_from_it_come_after(
    library: Library, landmarks: Any
) -> None:
    session = DeviceSession(Recording(landmarks, library.calls), SHAPE, CudaRuntime("any"))
    session.buffer[:] = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    library.calls.clear()
    made = session.run(session.names, 2)
    assert library.calls == ["send", "wait", "run", *["fetch"] * len(session.names)]
    feed = {landmarks.get_inputs()[0].name: session.buffer}
    for found, expected in zip(made, landmarks.run(list(session.names), feed), strict=True):
        assert len(found) == 2
        assert np.allclose(found, expected[:2], atol=1e-6)


def test_memory_that_cannot_be_locked_is_ordinary_memory_and_leaves_no_error_behind(
    library: Library, landmarks: Any
) -> None:
    library.locks_fail_with = 2
    session = DeviceSession(landmarks, SHAPE, CudaRuntime("any"))
    assert library.calls.count("clear") == 1
    assert session.buffer.shape == SHAPE
    assert all(np.isfinite(each).all() for each in session.run(session.names, 3))


def test_a_copy_that_fails_is_an_error(library: Library, landmarks: Any) -> None:
    session = DeviceSession(landmarks, SHAPE, CudaRuntime("any"))
    library.copies_fail_with = 700
    with pytest.raises(RuntimeError, match="CUDA error 700"):
        session.run(session.names, 1)


class OnDevice(FixedSessions):
    """All sessions as on a GPU."""

    def __init__(self, _providers: Sequence[Provider], *, threads: int) -> None:
        super().__init__([(OTHER, {})], threads=threads)
        self._runtime = CudaRuntime("any")


def test_a_pack_finds_the_faces_of_the_cpu_by_sessions_as_on_a_gpu(
    library: Library, pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "FixedSessions", OnDevice)
    settings = Settings(
        onnx_providers=(OTHER,), runner_fixed_shapes="on", runner_max_batch_size=4, detection_size=320
    )
    extraction = extraction_of(pack_folder, settings)
    extraction.networks.warm_up()
    sent = library.calls.count("send")
    assert sent > 100  # each usual network has been compared when it was opened, and again
    files = [photos.astronaut().read_bytes(), photos.group_photo().read_bytes()]
    expected = extraction_of(pack_folder, Settings(selfie_quick_size=0, detection_size=320)).detect_and_embed(
        files
    )
    for found, wanted in zip(extraction.detect_and_embed(files), expected, strict=True):
        assert isinstance(found, FacesInImage)
        assert isinstance(wanted, FacesInImage)
        assert len(found.faces) == len(wanted.faces)
        for face in wanted.faces:
            best = max(found.faces, key=lambda each, box=face.bbox: each.bbox.iou(box))  # type: ignore[misc]
            assert float(best.embedding @ face.embedding) > 0.9999  # type: ignore[operator]
    assert library.calls.count("send") > sent
