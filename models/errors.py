"""The exception of this package, whose message says in one sentence what failed and what to do."""

from __future__ import annotations


class PackError(Exception):
    """A pack cannot be assembled; the message is one sentence for the person who asked for it."""
