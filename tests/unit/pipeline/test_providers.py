"""An execution provider that was asked for and is not in use stops the start."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from bentos.config.settings import Settings
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
