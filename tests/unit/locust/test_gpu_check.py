"""Tests that tools/gpu_check.sh says what is missing, and takes the packages for a GPU where there is a driver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def gpu_check(folder: Path, **environment: str) -> tuple[int, str]:
    """Its status and what it says, with nothing but packages that are installed."""
    done = subprocess.run(
        ["tools/gpu_check.sh"],
        cwd=ROOT,
        env={
            **os.environ,
            "OUT": str(folder / "out"),
            "GPU_SITE": str(folder / "site"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder),
            "PYTHON": sys.executable,
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python3"])
def test_another_python_is_asked_for(tmp_path: Path, python: str) -> None:
    status, said = gpu_check(tmp_path, PYTHON=python)
    assert status == 1
    assert f"{python} has to be Python 3.11 or newer: set PYTHON" in said


def test_where_there_is_a_driver_packages_for_cpus_are_not_enough(tmp_path: Path) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho some GPU, 580.65.06\n")
    command.chmod(0o755)
    status, said = gpu_check(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert status == 1
    assert "some GPU, 580.65.06" in said
    assert "requirements/gpu.txt cannot be installed: set GPU_WHEELS" in said
    assert not list(tmp_path.glob("site/*/complete"))


def test_a_folder_that_lacks_wheels_is_named(tmp_path: Path) -> None:
    status, said = gpu_check(tmp_path, GPU_WHEELS=str(tmp_path), PYTHON=_bare(tmp_path))
    assert status == 1
    assert f"not all wheels of {tmp_path} could be installed" in said
    assert "a package is missing: No module named 'bentoml'" in said


def _bare(folder: Path) -> str:
    """This Python with pip and without the packages of its environment."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {Path(sys.base_prefix, "bin", "python3")} "$@"\n')
    python.chmod(0o755)
    return str(python)
