"""Tests that the code keeps the import rules of pyproject.toml, and that a violation is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIOLATIONS = {
    "a value that imports HTTP": ("bentos/domain/ids.py", "import bentos.http.fields"),
    "a store that imports the runner": ("bentos/stores/files.py", "import bentos.runner.client"),
    "logic that imports a concrete store": ("bentos/search/query.py", "import bentos.stores.milvus.store"),
    "logic that imports HTTP": ("bentos/vectorizer/indexing.py", "import fastapi"),
    "one service that imports the other": ("bentos/search/query.py", "import bentos.vectorizer.indexing"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code and the rules that a test may change."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bentos", tmp_path / "bentos", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_code_keeps_the_import_rules(copy: Path) -> None:
    linted = lint(copy)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_planted_violation_breaks_the_import_rules(copy: Path, name: str) -> None:
    file, line = VIOLATIONS[name]
    path = copy / file
    path.write_text(path.read_text() + f"\n{line}\n")
    linted = lint(copy)
    assert linted.returncode != 0
    assert "BROKEN" in linted.stdout
