"""Reads a secret from the value of a setting, or from a file that is read again when it changes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from bentos.config.secret_rules import UnusableSecretError, split_keys, usable
from bentos.domain.redaction import remember_secret

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""The shortest time between two checks of a secret's file."""
_MOST_BYTES = 64 * 1024

_Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of the last change of a file: a mounted Kubernetes secret changes its inode."""


class SecretSource:
    """The present value of one secret. Cheap enough to call for each request; safe to use from several threads.

    `name`: the setting, as messages name it. `value`: its text in the environment. `file`: the path to read instead.
    `rule`: takes the name and a text, returns the value or raises `UnusableSecretError`.
    """

    def __init__(
        self, name: str, value: str = "", *, file: str = "", rule: Callable[[str, str], str] = usable
    ) -> None:
        self._name, self._rule = name, rule
        self._file = Path(file) if file else None
        self._text = value
        self._value: str | None = None
        self._stamp: _Stamp | None = None
        self._looked_at = float("-inf")

    def value(self) -> str:
        """The secret, at most `LOOK_EVERY_S` old; empty when it is not set.

        While the file is missing or unusable, the previous value is kept, and a warning is logged once. Raises
        `UnusableSecretError` when there is no previous value.
        """
        if self._value is None:
            return self._read_first()
        if self._file is not None and time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            self._value = self._read_again(self._file, self._value)
        return self._value

    def _read_first(self) -> str:
        if self._file is None:
            value = self._accepted(self._text)
        else:
            self._looked_at, self._stamp = time.monotonic(), _stamp(self._file)
            value = self._accepted(_content(self._name, self._file))
        self._value = value
        return value

    def _read_again(self, file: Path, before: str) -> str:
        # Taken before the file is read, so that a change in between is noticed at the next check.
        stamp = _stamp(file)
        if stamp == self._stamp:
            return before
        self._stamp = stamp
        try:
            value = self._accepted(_content(self._name, file))
        except UnusableSecretError as error:
            logger.warning("%s; the previous value is kept", error)
            return before
        logger.info("%s_FILE has changed and was read again", self._name)
        return value

    def _accepted(self, text: str) -> str:
        value = self._rule(self._name, text)
        remember_secret(self._name, [value, *split_keys(value)])
        return value


def _stamp(file: Path) -> _Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _content(name: str, file: Path) -> str:
    """The text of the file. Raises `UnusableSecretError` when it cannot be read or holds nothing."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES + 1).decode()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unreadable"
        raise UnusableSecretError(f"{name}_FILE: the file cannot be read ({reason})") from None
    except UnicodeDecodeError:
        raise UnusableSecretError(f"{name}_FILE: the file is not text") from None
    if not text.strip():
        raise UnusableSecretError(f"{name}_FILE: the file is empty")
    if len(text) > _MOST_BYTES:
        raise UnusableSecretError(f"{name}_FILE: the file is larger than {_MOST_BYTES} bytes")
    return text
