"""Tests that the wheel works in an environment that has httpx and nothing else of ours."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[3]
HTTPX = ("httpx", "httpcore", "h11", "anyio", "certifi", "idna", "sniffio", "typing_extensions")
"""httpx and what it needs; a package that is not installed is not needed by the present version."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and httpx, installed without a network."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    for name in HTTPX:
        try:
            files = distribution(name).files or []
        except ModuleNotFoundError:
            continue
        for top in {file.parts[0] for file in files if file.parts[0] != ".."} - {"__pycache__"}:
            (packages / top).symlink_to(distribution(name).locate_file(top))
    run(sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-index", str(wheel))
    return python


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_contains_the_client_alone(wheel: Path) -> None:
    names = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert "bentos/client/sync.py" in names
    assert {name for name in names if not name.startswith("bentos/client/")} == {
        "bentos/__init__.py",
        "bentos/version.py",
    }


def test_pip_accepts_it_with_httpx_as_its_only_requirement(python: Path) -> None:
    code = (
        "from importlib.metadata import requires; assert requires('face-search') == ['httpx>=0.27']\n"
        "from importlib.util import find_spec\n"
        "assert not any(map(find_spec, ['numpy', 'pydantic', 'fastapi', 'bentoml', 'pymilvus', 'tqdm']))\n"
        "import bentos.client.command\n"
        "print(bentos.client.FaceSearch('http://service', 'x' * 16))"
    )
    assert "FaceSearch object" in run(str(python), "-c", code, cwd=python.parent)


def test_the_command_is_installed(python: Path) -> None:
    assert "FACE_SEARCH_API_KEY" in run(str(python.with_name("face-search")), "--help", cwd=python.parent)
