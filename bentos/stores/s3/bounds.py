"""Bounds in time for what a blocking call of boto3 sends, which goes on in its thread when its caller has given up."""

from __future__ import annotations

import io
import threading
import time
from typing import Any


class UploadBody(io.BytesIO):
    """An image that can be read until the deadline, on the monotonic clock.

    HTTP clients read it piece by piece while they send it, so an upload that takes longer is cut off, and the server
    discards what it has. `cut_off` does so at once. Reading then raises `TimeoutError`.
    """

    def __init__(self, image: bytes, deadline: float) -> None:
        super().__init__(image)
        self._deadline = deadline

    def cut_off(self) -> None:
        """Let nothing more be read."""
        self._deadline = float("-inf")

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file. Raises `TimeoutError` after the deadline."""
        if time.monotonic() > self._deadline:
            raise TimeoutError
        return super().read(size)


class Attempts:
    """The deadline of the call that this thread makes: no attempt of boto3 begins after it."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def until(self, deadline: float) -> None:
        """Set the deadline of this thread's calls, on the monotonic clock."""
        self._thread.deadline = deadline

    def refuse_late_ones(self, **_: Any) -> None:
        """A handler of botocore's event `before-send`. Raises `TimeoutError`."""
        if time.monotonic() > getattr(self._thread, "deadline", float("inf")):
            raise TimeoutError
