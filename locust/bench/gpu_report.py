"""The figures of `gpu.py`, written after each part."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class Report:
    """The figures so far, written after each part, so that a run that is cut off leaves what it measured."""

    def __init__(self, folder: Path, *, budget: float) -> None:
        self.parts: dict[str, Any] = {}
        self.provider = ""
        self.failed = False
        self._path = folder / "gpu.json"
        self._until = time.monotonic() + budget

    def add(self, name: str, part: Callable[..., Any], *arguments: Any) -> None:
        """Run a part, unless the time is up, and write down what it returns or why it failed."""
        if time.monotonic() > self._until:
            self.parts[name] = {"skipped": "the time of --budget is over"}
        else:
            print(f"... {name}", file=sys.stderr, flush=True)
            began = time.monotonic()
            try:
                self.parts[name] = part(*arguments)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the other parts still run
                self.parts[name] = {"failed": f"{type(error).__name__}: {error}"[-3000:]}
                self.failed = True
            if isinstance(self.parts[name], dict):
                self.parts[name]["seconds"] = round(time.monotonic() - began, 1)
        self._path.write_text(json.dumps(self.parts, indent=1) + "\n", encoding="utf-8")

    @property
    def doubt(self) -> str:
        """Why the figures must not be relied on, or nothing."""
        compared = self.parts.get("pipeline", {}).get("against_the_cpu")
        if compared is None:
            return "NOT COMPARED: nothing says that the faces are right, because the comparison has not run."
        if not compared["are_right"]:
            return "WRONG ANSWERS: the faces are not those of the CPU, so the other figures mean nothing."
        return ""

    def text(self) -> str:
        """Everything on a page."""
        lines = [f"=== {self.provider} ==="]
        for name, part in self.parts.items():
            lines.append(f"--- {name}")
            lines += _lines(part)
        return "\n".join(lines)


def _lines(part: Any, indent: str = "  ") -> Iterable[str]:
    if not isinstance(part, dict):
        return [f"{indent}{part}"]
    lines = []
    for name, value in part.items():
        if isinstance(value, dict) and any(isinstance(each, dict | list) for each in value.values()):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{indent}{name}:", *(f"{indent}  {json.dumps(each)}" for each in value)]
        else:
            lines.append(f"{indent}{name}: {json.dumps(value)}")
    return lines
