"""The report: one JSON line for each photo, and what earlier runs wrote."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from bentos.bulk.items import Item, Outcome, WrongSetup


class Report:
    """A file of JSON lines to which every run appends; of several lines for one photo, the last counts.

    `path`: None for a run without a report. `has_to_exist`: whether an earlier run must have written it. Raises
    `WrongSetup` when the file cannot be written.
    """

    def __init__(self, path: Path | None, *, has_to_exist: bool = False) -> None:
        if path is not None and has_to_exist and not path.exists():
            raise WrongSetup(f"There is no report {path}.")
        self.earlier = {} if path is None else _read(path)
        self._file = None if path is None else _opened(path)

    @property
    def failures(self) -> list[str]:
        """The sources of the photos that failed in earlier runs and were not indexed since."""
        return [source for source, line in self.earlier.items() if line.get("status") == "failed"]

    def add(self, item: Item, outcome: Outcome) -> None:
        """Write the line of a photo; a photo that an earlier run has finished and reported gets no second line."""
        if self._file is None:
            return
        earlier = self.earlier.get(item.source)
        if outcome.before and earlier is not None and earlier.get("status") == outcome.status:
            return
        try:
            self._file.write(json.dumps(_line(item, outcome), ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise WrongSetup(f"The report cannot be written: {error.strerror}.") from None

    def close(self) -> None:
        """Close the file. A line that could not be written is dropped: `add` has said so."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def _line(item: Item, outcome: Outcome) -> dict[str, Any]:
    line: dict[str, Any] = {"source": item.source, "photo_id": outcome.photo_id, "status": outcome.status}
    if outcome.status == "failed":
        return {**line, "error": outcome.error, "message": outcome.message}
    return {**line, "faces": outcome.faces, "indexed": outcome.indexed, "left_out": dict(outcome.left_out)}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each photo. A line that is cut off, by a run that was killed, is passed over."""
    found: dict[str, dict[str, Any]] = {}
    if path.exists() and not path.is_file() and not path.is_dir():
        return found  # a pipe or a device, which may have no end
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for text in lines:
                try:
                    line = json.loads(text)
                    found[str(line["source"])] = line
                except (ValueError, KeyError, TypeError):
                    continue
    except FileNotFoundError:
        pass
    except OSError as error:
        raise WrongSetup(f"The report {path} cannot be read: {error.strerror}.") from None
    return found


def _opened(path: Path) -> TextIO:
    try:
        # A file name that is no UTF-8 has lone surrogates, which are written as JSON's own escapes.
        file = path.open("a", encoding="utf-8", errors="backslashreplace")
        if _is_cut_off(path):
            file.write("\n")
    except OSError as error:
        raise WrongSetup(f"The report {path} cannot be written: {error.strerror}.") from None
    return file


def _is_cut_off(path: Path) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
