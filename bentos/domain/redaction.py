"""Replaces the secrets of this process in texts that leave it: the second line of defence behind fixed sentences.

Whoever reads a secret names it here (`bentos.config.secret_source` does). Log lines and the reasons of
`DependencyUnavailable` pass through `redacted`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 8
"""Shorter values are parts of ordinary words, and replacing those would make every text unreadable."""
_KEPT = 2
"""A secret that was replaced a moment ago may still be in use somewhere."""

_by_name: dict[str, list[tuple[str, ...]]] = {}
_pattern: re.Pattern[str] | None = None


def remember_secret(name: str, values: Iterable[str]) -> None:
    """From now on `redacted` replaces these values of the setting `name`, and those that it had before them."""
    global _pattern  # noqa: PLW0603 - secrets belong to the process, as its log does
    present = tuple(value for value in values if len(value) >= _SHORTEST)
    earlier = _by_name.get(name, [])
    if not present or present in earlier:
        return
    _by_name[name] = [present, *earlier][:_KEPT]
    forms = {form for kept in _by_name.values() for each in kept for value in each for form in _forms(value)}
    # The longest first: a form may begin with another one.
    _pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def redacted(text: str) -> str:
    """`text` with `***` in place of every secret, also of one that is percent-encoded, base64 or escaped."""
    return text if _pattern is None else _pattern.sub(MASK, text)


def _forms(value: str) -> set[str]:
    raw = value.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return {
        value,
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        *encoded,
        *(each.rstrip("=") for each in encoded),
    }
