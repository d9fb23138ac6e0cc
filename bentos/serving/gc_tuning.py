"""Python's garbage collection in a process that serves."""

from __future__ import annotations

import gc

_ALLOCATIONS = 20_000
"""Objects that outlive their maker before the youngest are looked at: some twenty searches under way make as many."""


def tune_garbage_collection() -> None:
    """Never look again at what the start has left, and seldom at the rest: a fifteenth of a search went into it.

    What a request holds is freed by its reference counts; only cycles wait for a collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
