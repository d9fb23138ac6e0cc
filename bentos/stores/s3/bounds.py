"""Deadlines for blocking boto3 calls, whose threads continue after their callers have stopped waiting."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from typing import Any


class UploadBody(io.BytesIO):
    """An image that can be read until the deadline, on the monotonic clock.

    HTTP clients read it piece by piece while they send it, so an upload that takes longer is aborted, and the server
    discards the part that it has received. `cut_off` aborts at once. Reading then raises `TimeoutError`.
    """

    def __init__(self, image: bytes, deadline: float) -> None:
        super().__init__(image)
        self._deadline = deadline

    def cut_off(self) -> None:
        """Abort the upload: further reads raise `TimeoutError`."""
        self._deadline = float("-inf")

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as from any file. Raises `TimeoutError` after the deadline."""
        if time.monotonic() > self._deadline:
            raise TimeoutError
        return super().read(size)


class Attempts:
    """The deadline of the call in this thread, after which boto3 begins no attempt, and its additional headers."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def until(self, deadline: float, headers: Mapping[str, str] | None = None) -> None:
        """Set the deadline of this thread's calls, on the monotonic clock, and headers to add to their requests."""
        self._thread.deadline, self._thread.headers = deadline, headers

    def refuse_late_ones(self, **_: Any) -> None:
        """A handler of botocore's event `before-send`. Raises `TimeoutError`."""
        if time.monotonic() > getattr(self._thread, "deadline", float("inf")):
            raise TimeoutError

    def add_headers(self, request: Any, **_: Any) -> None:
        """A handler of botocore's event `before-send`, after the request was signed."""
        for name, value in (getattr(self._thread, "headers", None) or {}).items():
            request.headers[name] = value
