"""Tests that what the documents refer to exists: files, headings, commands, tests, settings and metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")}
    - {ROOT / "CHANGELOG.md"}  # it names what is gone too
)
FOLDERS = ("bentos", "models", "locust", "tests", "deploy", "docs", "requirements", "tools", ".ci")
CODE = {".py", ".yaml", ".yml", ".json", ".sql", ".sh", ".mk", ".js", ".tpl", ".toml", ".template"}

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_SECTION = re.compile(r"\]\(([^)#\s]+\.md)\), (?:\"([^\"]+)\"|section (\d+))")
_QUOTED = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]+")
_TEST = re.compile(r"test_\w+(?:\.py)?")
_MAKE = re.compile(r"^(?:[A-Z_]+=\S+ )*make ([a-z][a-z0-9-]*)(?=\s|$)", re.MULTILINE)
_MODULE = re.compile(r"python -m ((?:bentos|models|tests)[\w.]*)")
_SETTING = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_METRIC = re.compile(r"face_search_\w+")

OF_OTHERS = re.compile(r"OTEL_\w+|REQUEST_ID")
"""Names that no code of ours reads: variables of the OpenTelemetry SDK, and a placeholder."""


def problems_of(text: str, folder: Path) -> Iterator[str]:
    """What a document in `folder` refers to and does not exist."""
    for target, anchor in _LINK.findall(text):
        path = folder / target
        if target and not path.exists():
            yield f"link {target}"
        elif anchor and anchor not in anchors_of(path.read_text() if target else text):
            yield f"anchor #{anchor}"
    for target, heading, number in _SECTION.findall(text):
        if (folder / target).exists():
            yield from _missing_section((folder / target).read_text(), target, heading, number)
    for quoted in _QUOTED.findall(text):
        yield from _missing_names(quoted)
    yield from (f"make {target}" for target in _MAKE.findall(_commands(text)) if target not in targets())
    for module in _MODULE.findall(text):
        place = ROOT / module.rstrip(".").replace(".", "/")
        if not (place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()):
            yield f"python -m {module}"
    yield from (f"metric {each}" for each in _METRIC.findall(text) if each not in code())
    numbers = [int(each) for each in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"headings numbered {numbers}"


def _missing_section(text: str, target: str, heading: str, number: str) -> Iterator[str]:
    wanted = rf"#+ {number}\. " if number else rf"(?:#+ (?:\d+\. )?|\*\*){re.escape(heading)}"
    if not re.search(rf"^{wanted}", text, re.MULTILINE):
        yield f"section {heading or number} of {target}"


def _missing_names(quoted: str) -> Iterator[str]:
    for path in (
        [] if quoted.startswith("kubectl") else _PATH.findall(quoted)
    ):  # `deploy/NAME` is a Deployment there
        if not any(ROOT.glob(path.rstrip("./"))):
            yield f"path {path}"
    if _TEST.fullmatch(quoted) and not (
        f"def {quoted}(" in code() if not quoted.endswith(".py") else any(ROOT.glob(f"tests/**/{quoted}"))
    ):
        yield f"test {quoted}"
    name = quoted.partition("=")[0]
    if _SETTING.fullmatch(name) and not OF_OTHERS.fullmatch(name) and name not in code():
        yield f"setting {name}"


def _commands(text: str) -> str:
    """The quoted texts and the blocks of commands, each on a line of its own."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *_QUOTED.findall(text)])


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@cache
def targets() -> set[str]:
    rules = (ROOT / "Makefile").read_text() + (ROOT / "deploy" / "targets.mk").read_text()
    return {name for line in re.findall(r"^([a-z0-9 -]+):", rules, re.MULTILINE) for name in line.split()}


@cache
def code() -> str:
    """All code and configuration, with the names of the settings in upper case."""
    from bentos.config.settings import Settings

    files = [ROOT / "Makefile", ROOT / "deploy" / "targets.mk"]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in CODE]
    this_file = Path(__file__)
    return "\n".join(
        [*(name.upper() for name in Settings.model_fields)]
        + [path.read_text(errors="replace") for path in files if path != this_file]
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_refers_to_exists(document: Path) -> None:
    assert list(problems_of(document.read_text(), document.parent)) == []


@pytest.mark.parametrize(
    "planted",
    [
        "[a file](absent.md)",
        "[a heading](README.md#absent)",
        '[a section](CONTRIBUTING.md), "Absent"',
        "[a section](deploy/README.md), section 99",
        "`bentos/absent/file.py`",
        "`tests/absent_*.py`",
        "`test_absent.py`",
        "`test_nothing_of_the_kind`",
        "`make absent`",
        "```\nmake absent ARGS=1\n```",
        "`python -m bentos.absent`",
        "`ABSENT_SETTING=true`",
        "face_search_absent_total",
        "## 1. One\n\n## 3. Three",
    ],
)
def test_a_planted_reference_to_nothing_is_found(planted: str) -> None:
    assert list(problems_of(planted, ROOT))
