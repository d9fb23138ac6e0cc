"""Suppresses Python warnings while Pillow decodes, safely with threads; damaged files raise an error anyway."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_saved_filters = contextlib.ExitStack()
_inside = 0


@contextlib.contextmanager
def suppress_warnings() -> Iterator[None]:
    """Ignore all warnings while any thread is inside.

    `warnings.catch_warnings` alone is not safe with threads: one that leaves while another is still inside
    would restore the filters of the other for good.
    """
    global _inside  # noqa: PLW0603 the filters belong to the process, and so does the count
    with _lock:
        if _inside == 0:
            _saved_filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _saved_filters.close()
