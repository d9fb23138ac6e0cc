"""The one exception of this package: what went wrong and what to do, in one sentence."""

from __future__ import annotations


class PackError(Exception):
    """A pack cannot be assembled; the message is one sentence for the person who asked for it."""
