"""Reads the files of a folder, and remembers their digests, so that a repeated run need not read them again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from bentos.domain.errors import ImageTooLarge, InvalidImageFormat
from bentos.jobs.patience import Say


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file. Raises `OSError`; `InvalidImageFormat` for no bytes; `ImageTooLarge` without reading it."""
    if path.stat().st_size > max_bytes:
        raise ImageTooLarge(f"The image has more than {max_bytes} bytes.", {"max_bytes": max_bytes})
    image = path.read_bytes()
    if not image:
        raise InvalidImageFormat("The file is empty.")
    return image


class FileDigests:
    """The SHA-256 of files by path, size and time of change, kept in a file below `$XDG_STATE_HOME/face-search`.

    Without that file everything works, and a repeated run reads the images again.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._path = _state_folder() / f"{name}.jsonl"
        self._say: Say | None = say
        self._known = self._read()

    def known(self, file: Path) -> str | None:
        """The digest of a file that has not changed since it was read, or None."""
        try:
            return self._known.get(_identity(file))
        except OSError:
            return None

    def remember(self, file: Path, digest: str) -> None:
        """Keep the digest of a file that was read."""
        try:
            identity = _identity(file)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as kept:
                kept.write(json.dumps([identity, digest]) + "\n")
        except OSError as error:
            if self._say is not None:
                self._say(
                    f"{self._path} cannot be written ({error.strerror}): a repeated run reads every image"
                )
            self._say = None

    def _read(self) -> dict[str, str]:
        known: dict[str, str] = {}
        try:
            lines = self._path.read_text(errors="replace").splitlines()
        except OSError:
            return known
        for line in lines:
            try:
                identity, digest = json.loads(line)
                known[str(identity)] = str(digest)
            except (ValueError, TypeError):
                continue  # the last line of a run that was killed
        return known


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{file.resolve()}|{found.st_size}|{found.st_mtime_ns}"


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "face-search"
