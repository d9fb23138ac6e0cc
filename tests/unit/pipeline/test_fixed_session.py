"""Tests of how sessions of fixed shapes are opened when a provider, an option or the memory is not there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bentos.pipeline.batched import fixed_session, graphs
from bentos.pipeline.batched.fixed_session import CUDA, TENSORRT, FixedSessions, HostSession
from bentos.pipeline.batched.opening import Sizes, networks_of
from bentos.pipeline.pack_info import LANDMARKS_FILE
from bentos.pipeline.pack_models import PackInputs
from bentos.pipeline.providers import CPU, Provider, ProviderNotInUse

SHAPE = (2, 48, 48, 3)
OTHER = "AzureExecutionProvider"
"""A provider that every package of ONNX Runtime for Linux has; it leaves these networks to the CPU."""


@pytest.fixture(scope="module")
def model(pack_folder: Path) -> bytes:
    made = graphs.with_fixed_batch(graphs.load(str(pack_folder / LANDMARKS_FILE)), SHAPE[0])
    serialised: bytes = made.SerializeToString()
    return serialised


class Memory(FixedSessions):
    """Sessions on the CPU, of which those with an option whose value is in `full` fail as on a GPU without memory."""

    def __init__(self, full: Sequence[str]) -> None:
        super().__init__([(OTHER, {})], threads=1)
        self._full = full
        self.tried: list[Mapping[str, str]] = []

    def _session(self, model: bytes, providers: Sequence[Provider]) -> Any:
        [(name, options)] = providers
        if name != CPU:
            self.tried.append(options)
            if options.get("enable_cuda_graph", "0") in self._full:
                raise onnxruntime.capi.onnxruntime_pybind11_state.Fail("Failed to allocate memory\nat line 1")
        return super()._session(model, [(name, {})])


@pytest.fixture(autouse=True)
def graphs_of_the_other_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fixed_session._GRAPH_OPTIONS, OTHER, "enable_cuda_graph")  # type: ignore[index]


def test_a_session_runs_with_the_provider_that_was_asked_for_though_there_is_no_cuda_runtime(
    model: bytes,
) -> None:
    sessions = FixedSessions([(OTHER, {})], threads=1)
    sessions.check(model)
    session = sessions.open(model, SHAPE)
    assert isinstance(session, HostSession)
    assert session._session.get_providers() == [OTHER, CPU]
    assert [each.shape for each in session.run(session.names, 1)] == [
        each.shape for each in FixedSessions([(CPU, {})], threads=1).open(model, SHAPE).run(session.names, 1)
    ]


def test_a_network_runs_without_a_graph_where_onnx_runtime_refuses_one(
    model: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Memory(["1"])
    sessions.open(model, SHAPE)
    assert sessions.tried == [{"enable_cuda_graph": "1"}, {}]
    assert "Failed to allocate memory" in caplog.text
    assert "at line 1" not in caplog.text


def test_a_usual_network_that_the_gpu_does_not_run_is_an_error_and_another_one_runs_on_the_cpu(
    model: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exception, match="Failed to allocate memory"):
        Memory(["0", "1"]).open(model, SHAPE)
    caplog.clear()
    session = Memory(["0", "1"]).open(model, SHAPE, is_usual=False)
    assert isinstance(session, HostSession)
    assert session._session.get_providers() == [CPU]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"shape {SHAPE} runs on the CPU"
    ]


def test_outputs_that_change_when_other_networks_are_opened_are_an_error_that_says_what_to_set(
    model: bytes,
) -> None:
    sessions = Memory([])
    first = sessions.open(model, SHAPE)
    sessions.open(model, SHAPE)
    sessions.confirm()
    changed = sessions.open(model, SHAPE)
    assert isinstance(changed, HostSession)
    run = changed._session.run

    class Broken:
        def run(self, *arguments: Any) -> list[Any]:
            return [np.ones_like(each) for each in run(*arguments)]

    changed._session = Broken()
    with pytest.raises(RuntimeError, match="before other networks were opened") as raised:
        sessions.confirm()
    assert '{"CUDAExecutionProvider": {"enable_cuda_graph": "0"}}' in str(raised.value)
    assert first.run(first.names, 1)


@pytest.mark.parametrize(("provider", "all_open_early"), [(CUDA, False), (TENSORRT, True)])
def test_no_photo_waits_for_an_engine_of_tensorrt(
    pack_folder: Path, monkeypatch: pytest.MonkeyPatch, provider: str, all_open_early: bool
) -> None:
    monkeypatch.setattr(FixedSessions, "check", lambda *_: None)
    sessions = FixedSessions([(provider, {})], threads=1)
    inputs = PackInputs.of(pack_folder, threshold=0.5, size=640)
    networks = networks_of(pack_folder, inputs, sessions, sizes=Sizes(640, 320, 1280), most_images=8)
    assert all(network._opens_early for network in networks.values()) == all_open_early


def test_an_error_of_onnx_runtime_ends_in_one_sentence() -> None:
    with pytest.raises(ProviderNotInUse, match=f"{CPU} cannot be used: .*protobuf parsing failed") as raised:
        FixedSessions([(CPU, {})], threads=1).check(b"no model")
    assert "\n" not in str(raised.value)
