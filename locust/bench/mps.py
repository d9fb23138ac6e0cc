"""Runs NVIDIA's Multi-Process Service while processes share a GPU, so that their kernels run at the same time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import environ

_CONTROL = "nvidia-cuda-mps-control"


def has_mps() -> bool:
    """Whether its daemon is installed."""
    return shutil.which(_CONTROL) is not None


@contextmanager
def mps(*, wanted: bool) -> Iterator[Mapping[str, str]]:
    """The environment of processes that use it; empty when it is not wanted."""
    if not wanted:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        own = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        environment = {**environ, **own}
        subprocess.run([_CONTROL, "-d"], env=environment, check=True, timeout=20)
        try:
            yield own
        finally:
            subprocess.run([_CONTROL], input=b"quit\n", env=environment, check=False, timeout=20)
