"""Signs links to images that the service itself serves, and checks them: an id, an expiry and a signature.

The signature is an HMAC over the id and the expiry, with a key that is derived from an API key. Signatures are made and
checked without a store. A link gives access to one image, until it expires or the API key is removed.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Sequence

PREFIX = "/images/"

_PURPOSE = b"face-search: signed links to images, version 1"
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class ImageLinks:
    """`present_keys` returns the valid API keys: the first one signs, each of them is accepted."""

    def __init__(self, present_keys: Callable[[], Sequence[str]]) -> None:
        self._present_keys = present_keys

    def sign(self, photo_ids: Sequence[str], *, expires_s: int, now: float | None = None) -> list[str]:
        """For each photo a path with a query, valid for `expires_s` seconds from `now` (seconds since 1970)."""
        expires = str(int(time.time() if now is None else now) + expires_s)
        key = _derived(self._present_keys()[0])
        return [
            f"{PREFIX}{each}?expires={expires}&signature={_signature(key, each, expires)}"
            for each in photo_ids
        ]

    def allows(self, photo_id: str, *, expires: str, signature: str, now: float | None = None) -> bool:
        """Whether this is a link that `sign` has made and that has not expired. The time reveals nothing of a key."""
        given = signature.encode()
        wanted = [_signature(_derived(key), photo_id, expires).encode() for key in self._present_keys()]
        # Compares with every key, so that the time does not say which one signed.
        signed = any([hmac.compare_digest(given, each) for each in wanted])
        in_time = _SECONDS.fullmatch(expires) is not None and float(expires) > (
            time.time() if now is None else now
        )
        return signed and in_time


def _derived(api_key: str) -> bytes:
    return hmac.digest(api_key.encode(), _PURPOSE, "sha256")


def _signature(key: bytes, photo_id: str, expires: str) -> str:
    """In hex. Neither field can hold a line feed, so that the message is unambiguous."""
    return hmac.digest(key, f"{photo_id}\n{expires}".encode(), "sha256").hex()
