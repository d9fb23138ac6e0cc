"""Private interfaces of libraries are used in the files that docs/architecture.md lists, and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bentos", "models", "locust")
SERVERS_OF_TESTS = "bentos/demo/servers/"
"""Servers that the tests and the demo start; no service imports them."""

UNDOCUMENTED = (
    "_bentoml_impl",
    "_bentoml_sdk",
    "insightface",
    "milvus_lite",
    "pymilvus.client",
    "pymilvus.decorators",
    "pymilvus.grpc_gen",
    "uvicorn.protocols",
)
"""Modules without an underscore that their libraries do not document, beside every module with one."""
DOCUMENTED = {"insightface.app", "insightface.app.FaceAnalysis"}
"""The exceptions among them."""
UNDOCUMENTED_TEXTS = re.compile(
    r"BENTOML_RUNNER_MAP|BENTOML_CONTAINERIZED|--service-name|--worker-id|--fd|_internal"
)
"""Options, variables and folders by which BentoML's processes know each other; docstrings may name them."""


@dataclass(frozen=True)
class Listed:
    """One row of the table."""

    file: str
    libraries: tuple[tuple[str, str], ...]


def listed() -> list[Listed]:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.split("## Private interfaces")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in table.splitlines()
        if line.startswith("| `")
    ]
    return [
        Listed(row[0].strip("`"), tuple(tuple(each.split()) for each in row[1].split(", ")))  # type: ignore[misc]
        for row in rows
    ]


def violations(root: Path) -> list[str]:
    allowed = {each.file for each in listed()}
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if name not in allowed and not name.startswith(SERVERS_OF_TESTS):
                found += [f"{name}: {what}" for what in private_uses(path.read_text())]
    return found


def private_uses(code: str) -> Iterator[str]:
    tree = ast.parse(code)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if is_private(each.name))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {str(node.module), *(f"{node.module}.{each.name}" for each in node.names)}
            yield from (name for name in sorted(names) if is_private(name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield from UNDOCUMENTED_TEXTS.findall(node.value)
    yield from re.findall(r"noqa:[^\n]*SLF001", code)


def is_private(module: str) -> bool:
    if module == "__future__" or module in DOCUMENTED or module.startswith("bentos."):
        return False
    parts = module.split(".")
    return any(part.startswith("_") and not part.startswith("__") for part in parts) or any(
        module == each or module.startswith(f"{each}.") for each in UNDOCUMENTED
    )


def test_private_interfaces_are_used_in_the_listed_files_alone() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "import bentoml._internal.container",
        "from bentoml import _internal",
        "from pymilvus.client.prepare import Prepare",
        "import uvicorn.protocols.http.auto",
        "client._handler  # noqa: SLF001",
        'import os; os.environ["BENTOML_RUNNER_MAP"]',
    ],
)
def test_a_planted_use_is_found(tmp_path: Path, line: str) -> None:
    name = "bentos/search/query.py"
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / name).read_text() + f"\n{line}\n")
    found = violations(tmp_path)
    assert found
    assert all(each.startswith(f"{name}: ") for each in found)


def test_each_listed_file_still_needs_its_row() -> None:
    # They use attributes of the models that the documented FaceAnalysis opened.
    models_of_insightface = {"bentos/pipeline/detector.py", "bentos/pipeline/pack_models.py"}
    for each in listed():
        if each.file not in models_of_insightface:
            code = (ROOT / each.file).read_text()
            assert list(private_uses(code)) or "getsignal" in code, each.file


@pytest.mark.parametrize("row", listed(), ids=lambda row: row.file)
def test_a_listed_file_names_the_pinned_version_of_its_library(row: Listed) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / row.file).read_text())) or ""
    pinned = {
        name: (ROOT / "requirements" / name).read_text().splitlines()
        for name in ("runtime.in", "runtime.txt", "service.in", "service.txt")
    }
    for library, tested in row.libraries:
        assert f"{library} {tested}" in docstring
        assert version(library) == tested
        for name, lines in pinned.items():
            if library == "milvus-lite" and name.startswith("service"):
                continue  # the images of the services do not have it
            assert any(re.match(rf"{library}=={re.escape(tested)}(\s|$)", line) for line in lines), name
