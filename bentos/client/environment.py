"""Reads the addresses and the key of a client from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bentos.client.connection import Connection

URL = "FACE_SEARCH_URL"
SEARCH_URL = "FACE_SEARCH_SEARCH_URL"
KEY = "FACE_SEARCH_API_KEY"
KEY_FILE = "FACE_SEARCH_API_KEY_FILE"


def connection_from(environment: Mapping[str, str] = os.environ, *, url: str | None = None) -> Connection:
    """The address and the key in the environment; `url` instead of FACE_SEARCH_URL.

    Raises `ValueError` with one sentence that names the variable, and never quotes the key.
    """
    url = url or environment.get(URL, "")
    if not url:
        raise ValueError(f"{URL} is not set: the address of the service, http(s)://host.")
    key = _key(environment)
    try:
        return Connection(url, key, environment.get(SEARCH_URL) or None)
    except ValueError as error:
        raise ValueError(f"{URL}, {SEARCH_URL} or {KEY}: {error}.") from None


def _key(environment: Mapping[str, str]) -> str:
    if key := environment.get(KEY, "").strip():
        return key
    file = environment.get(KEY_FILE, "")
    if not file:
        raise ValueError(f"Neither {KEY} nor {KEY_FILE} is set: the key of the API.")
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"The file of {KEY_FILE} cannot be read ({type(error).__name__}).") from None
