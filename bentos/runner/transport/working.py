"""A small file that records which requests a runner process works on, to be read after the process has died.

A process that is killed by an image cannot report which image it was. The file is written before the work begins and
cleared after it, which costs two system calls; a message to the caller would wake another process for every image.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

_NUMBER = 8


def record_beside(socket: Path) -> Path:
    """The record of the process that listens on `socket`."""
    return socket.with_name(f"working-{socket.name}")


class WorkRecord:
    """The record of one process; its threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._numbers: dict[int, None] = {}
        self._lock = Lock()

    @contextmanager
    def of(self, numbers: Sequence[int]) -> Iterator[None]:
        """Record that the process works on these requests while the block runs."""
        self.add(*numbers)
        try:
            yield
        finally:
            self.remove(*numbers)

    def add(self, *numbers: int) -> None:
        """Record that the process works on these requests too."""
        with self._lock:
            first = len(self._numbers)
            self._numbers.update(dict.fromkeys(numbers))
            os.pwrite(self._file, _packed(numbers), first * _NUMBER)

    def remove(self, *numbers: int) -> None:
        """Record that the process no longer works on these requests."""
        with self._lock:
            for number in numbers:
                self._numbers.pop(number, None)
            if self._numbers:
                os.pwrite(self._file, _packed(list(self._numbers)), 0)
            os.ftruncate(self._file, len(self._numbers) * _NUMBER)


def worked_on(record: Path, number: int) -> bool:
    """Whether the process that wrote `record` ended while it worked on request `number`."""
    try:
        written = record.read_bytes()
    except OSError:
        return False
    return number in struct.unpack(
        f"<{len(written) // _NUMBER}Q", written[: len(written) // _NUMBER * _NUMBER]
    )


def _packed(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)
