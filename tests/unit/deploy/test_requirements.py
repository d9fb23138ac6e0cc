"""Tests that the requirements name every package that the services import."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

BROUGHT_BY = {
    "starlette": "fastapi",
    "botocore": "boto3",
    "urllib3": "boto3",
    "requests": "opentelemetry-exporter-otlp-proto-http",
    "nvidia-ml-py": "bentoml",
}
"""Packages whose interface belongs to that of another one, which is named instead."""
INSTEAD = {
    "opencv-python": {"opencv-python-headless"},
    "onnxruntime": {"onnxruntime-gpu"},
}
"""The images have other builds of these packages."""
NOT_IN_IMAGES = {"milvus_lite"}
FOR_TYPES = {"mypy_boto3_s3"}


@cache
def imported() -> dict[str, set[str]]:
    """The packages that the services import, each with the names of the distributions that have it."""
    modules: set[str] = set()
    for path in (ROOT / "bentos").rglob("*.py"):
        if "demo" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module)
    tops = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"bentos"} - FOR_TYPES
    known = packages_distributions()
    return {top: {_normalised(each) for each in known.get(top, [top])} for top in tops}


@cache
def named(file: str) -> frozenset[str]:
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    return frozenset(_normalised(found[0]) for line in lines if (found := re.match(r"[A-Za-z][\w.-]*", line)))


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("kind", ["runtime", "service", "gpu"])
def test_every_imported_package_is_named_and_pinned(kind: str) -> None:
    packages, pinned = named(f"{kind}.in"), named(f"{kind}.txt")
    assert len(imported()) > 15
    for module, distributions in imported().items():
        if kind != "runtime" and module in NOT_IN_IMAGES:
            continue
        builds = distributions | {other for each in distributions for other in INSTEAD.get(each, ())}
        assert builds & pinned, f"{module} is not pinned"
        assert (builds | {BROUGHT_BY.get(each) for each in builds}) & packages, f"{module} is not named"
