"""Tests that docs/operations.md explains every warning and error that the services log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = " ".join((ROOT / "docs" / "operations.md").read_text().split())
_LEVELS = {"warning", "error", "critical", "exception"}
_NOT_SERVED = {"demo"}
_SHORTEST = 8


def _literal(node: ast.expr) -> str:
    """The text of a string or f-string, with `%s` for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in node.values)
    return ""


def _fragments(call: ast.Call) -> str:
    """The longest part of the message that does not depend on values, or an empty text."""
    method = call.func
    if isinstance(method, ast.Attribute) and method.attr in _LEVELS and ast.unparse(method.value) == "logger":
        message = _literal(call.args[0])
    elif isinstance(method, ast.Name) and method.id == "_say" and _literal(call.args[0]) in _LEVELS:
        message = _literal(call.args[1])
    else:
        return ""
    parts = [part.strip(" :;'`") for part in re.split(r"%[a-z.0-9]*[srdf]", message)]
    return max(parts, key=len)


def _messages() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "bentos").rglob("*.py")):
        if path.parts[-2] in _NOT_SERVED or "servers" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and len(found := _fragments(node)) >= _SHORTEST:
                yield str(path.relative_to(ROOT)), found


def test_the_operations_guide_explains_every_message() -> None:
    messages = set(_messages())
    assert len(messages) >= 20
    assert sorted(each for each in messages if each[1] not in GUIDE) == [], "not in its section Messages"
