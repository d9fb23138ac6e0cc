"""Tests that a requested execution provider that is not in use prevents the start."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from bentos.config.settings import Settings
from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.process import launched
from bentos.pipeline.provider_check import require_working
from bentos.pipeline.providers import ProviderNotInUse, reason_of
from bentos.runner.local import pack_of

pytestmark = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="ONNX Runtime has CUDA here"
)


@pytest.mark.parametrize("providers", ["CUDAExecutionProvider", "CUDAExecutionProvider,CPUExecutionProvider"])
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_is_not_in_use_ends_the_process_with_one_sentence(
    pack_folder: Path, providers: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        pack_of(pack_folder, Settings(onnx_providers=providers))
    sentence = str(ended.value)
    assert sentence.startswith("ONNX_PROVIDERS: CUDAExecutionProvider is not in use")
    assert "runs with CPUExecutionProvider" in sentence
    assert "\n" not in sentence


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_the_sentence_says_why_the_library_of_a_provider_cannot_be_loaded(
    pack_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "capi" / "libonnxruntime_providers_cuda.so"
    library.parent.mkdir()
    library.write_bytes(b"\x7fELF, but no library")
    monkeypatch.setattr(onnxruntime, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(SystemExit, match=f"{library}: file too short"):
        pack_of(pack_folder, Settings(onnx_providers="CUDAExecutionProvider"))


SOURCE = "/onnxruntime_src/onnxruntime/core"
FAIL = "[ONNXRuntimeError] : 1 : FAIL : "
CALL = "void onnxruntime::CudaCall(ERRTYPE, const char*, int) [with ERRTYPE = cudaError; bool THRW = true]"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            f"{SOURCE}/call.cc:154 {CALL} {SOURCE}/call.cc:146 {CALL} CUDA failure 35: old driver ; GPU=-1 ; line=3\n",
            "CUDA failure 35: old driver",
        ),
        (
            f"{SOURCE}/info.cc:63 static ort::Info ort::Info::From(const ort::Options&) {FAIL}u.h:182 Parse Unknown",
            "Unknown",
        ),
        (
            f"{SOURCE}/state.cc:729 void ort::Register(Session&, const Options&) Please install",
            "Please install",
        ),
        (f"{FAIL}Failed to allocate memory for 9 bytes", "Failed to allocate memory for 9 bytes"),
        (
            "its outputs are not those of the CPU (cosine 0.1)",
            "its outputs are not those of the CPU (cosine 0.1)",
        ),
        ("", "RuntimeError"),
    ],
)
def test_the_reason_of_an_error_of_onnx_runtime_comes_without_places_in_its_source(
    said: str, reason: str
) -> None:
    assert reason_of(RuntimeError(said)) == reason


def test_providers_are_tried_with_a_small_network_in_a_process_of_its_own() -> None:
    require_working([("CPUExecutionProvider", {})])
    require_working([("AzureExecutionProvider", {}), ("CPUExecutionProvider", {})])
    with pytest.raises(ProviderNotInUse, match=r"^CUDAExecutionProvider is not in use: ") as raised:
        require_working([("CUDAExecutionProvider", {"use_tf32": "0"})])
    assert "\n" not in str(raised.value)


def test_the_service_does_not_start_with_a_provider_that_is_not_available(folder: Path) -> None:
    environment = {**embedded_environment(folder), "ONNX_PROVIDERS": "CUDAExecutionProvider"}
    with launched(SERVICE, environment, log=folder / "service.log") as service:
        assert service.process.wait(60) != 0
    last = service.log.read_text().strip().splitlines()[-1]
    assert "ONNX_PROVIDERS: CUDAExecutionProvider is not available" in last
    assert "Traceback" not in service.log.read_text()
