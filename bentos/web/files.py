"""Reads the files of the page into memory, with their content types and ETags."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

STATIC = Path(__file__).parent / "static"

CONTENT_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""By suffix. The system's own table is not used, because it differs between machines."""


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file; `etag` is derived from its content."""

    body: bytes
    content_type: str
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", f'"{hashlib.sha256(self.body).hexdigest()[:32]}"')


def static_files(folder: Path = STATIC) -> dict[str, WebFile]:
    """Every file below `folder` by its path relative to it. Raises `KeyError` for a suffix without a content type."""
    return {
        path.relative_to(folder).as_posix(): WebFile(path.read_bytes(), CONTENT_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
