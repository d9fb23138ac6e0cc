"""Replaces the secrets of this process in log lines and in reasons of errors.

Error messages are fixed sentences, so this is a second protection. Code that reads a secret registers it here
(`bentos.config.secret_source` does). Log lines and the reasons of `DependencyUnavailable` pass through `redacted`.
"""

from __future__ import annotations

import base64
import json
import re
import traceback
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 8
"""Shorter values occur in ordinary words, and their replacement would make texts unreadable."""
_KEPT = 2
"""How many values of a secret are kept, because its previous value may still be in use."""

_by_name: dict[str, list[tuple[str, ...]]] = {}
_pattern: re.Pattern[str] | None = None


def remember_secret(name: str, values: Iterable[str]) -> None:
    """Register the present values of the setting `name`; `redacted` replaces these and the previous values."""
    global _pattern  # noqa: PLW0603 - secrets are registered per process, as its log is
    present = tuple(value for value in values if len(value) >= _SHORTEST)
    earlier = _by_name.get(name, [])
    if not present or present in earlier:
        return
    _by_name[name] = [present, *earlier][:_KEPT]
    forms = {form for kept in _by_name.values() for each in kept for value in each for form in _forms(value)}
    # The longest first, because one form may be the beginning of another.
    _pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def redacted(text: str) -> str:
    """`text` with `***` instead of every secret, also where it is percent-encoded, base64-encoded or escaped."""
    return text if _pattern is None else _pattern.sub(MASK, text)


def frames_of(error: BaseException | None) -> dict[str, str]:
    """The field of a log line that says where an error was raised, without its text, which may hold a secret.

    httpx, for example, quotes a header that it refuses. Empty without an error.
    """
    return {} if error is None else {"traceback": "".join(traceback.format_tb(error.__traceback__))}


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
