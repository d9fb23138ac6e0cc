"""Keeps what Pillow has to say of strange files out of the log: the error that follows says it."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_silence = contextlib.ExitStack()
_inside = 0


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Ignore warnings while any thread is in here.

    `warnings.catch_warnings` alone is not made for threads: one that leaves while another is inside
    would leave the filters of the other behind for good.
    """
    global _inside  # noqa: PLW0603 the filters are the process's, so is the count
    with _lock:
        if _inside == 0:
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _silence.close()
