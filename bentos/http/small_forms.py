"""Reads a multipart form with one small file in memory, without a temporary file and without a thread.

Starlette writes a file above 1 MB to the disk in a thread and feeds each byte range through callbacks: for a selfie of
12 megapixels that takes 10 ms of CPU time. Only forms as browsers and HTTP libraries write them are read here; for
anything unusual the result is None, and Starlette reads the same body again and says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from bentos.domain.errors import InvalidRequest

_LARGEST = 8 << 20
"""Bytes of a body that is read in memory."""

_MOST_AT_ONCE = 64 << 20
"""Bytes of all such bodies together; above, bodies go to the disk."""

_MOST_PARTS = 32
_LONGEST_HEAD = 1024

_CONTENT_TYPE = re.compile(r"multipart/form-data; ?boundary=\"?([A-Za-z0-9'()+_,./:=?-]{1,70})\"?")
_HEADER = re.compile(rb"(?i)content-(disposition|type): *([^\r\n]*)")
_DISPOSITION = re.compile(rb'form-data; name="([^"\\\r\n%]+)"(; filename="([^"\\\r\n]+)")?')


@dataclass(frozen=True, slots=True)
class SmallForm:
    """`files` and `texts`: the values of each field, in their order."""

    files: dict[str, list[bytes]]
    texts: dict[str, list[str]]


class _Budget:
    """Counts the bytes of the bodies that are in memory; for one event loop."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def taken(self, size: int) -> Iterator[bool]:
        """Whether there is room for a body of this size, which counts until the block ends."""
        fits = size <= self._left
        self._left -= size if fits else 0
        try:
            yield fits
        finally:
            self._left += size if fits else 0


_budget = _Budget(_MOST_AT_ONCE)


async def small_form(request: Request) -> SmallForm | None:
    """The form of the request; None when it has to be read by Starlette, which is always possible afterwards.

    Raises `InvalidRequest` when the connection ends before the body does.
    """
    declared = request.headers.get("content-length", "")
    content_type = _CONTENT_TYPE.fullmatch(request.headers.get("content-type", ""))
    if content_type is None or not declared.isdecimal() or int(declared) > _LARGEST:
        return None
    with _budget.taken(int(declared)) as fits:
        if not fits:
            return None
        try:
            body = await request.body()
        except ClientDisconnect:
            reason = "The connection ended before the whole body had arrived."
            raise InvalidRequest(reason, {"body": reason}) from None
        return parse_form(body, content_type[1].encode())


def parse_form(body: bytes, boundary: bytes) -> SmallForm | None:
    """The form in `body` (RFC 7578); None when it is not exactly as expected."""
    form = SmallForm({}, {})
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        return None
    at = len(delimiter) - 2
    for _ in range(_MOST_PARTS):
        if body.startswith(b"--", at):
            return form if body[at + 2 :] in {b"", b"\r\n"} else None
        head_end = body.find(b"\r\n\r\n", at, at + _LONGEST_HEAD)
        end = body.find(delimiter, head_end + 4)
        if not body.startswith(b"\r\n", at) or head_end < 0 or end < 0:
            return None
        if not _add(form, body[at + 2 : head_end], body[head_end + 4 : end]):
            return None
        at = end + len(delimiter)
    return None


def _add(form: SmallForm, head: bytes, content: bytes) -> bool:
    """Add a part to the form; returns whether it is as expected."""
    headers = [_HEADER.fullmatch(line) for line in head.split(b"\r\n")]
    dispositions = [each[2] for each in headers if each is not None and each[1].lower() == b"disposition"]
    named = _DISPOSITION.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    if None in headers or named is None:
        return False
    try:
        name = named[1].decode("ascii")
        if named[2]:
            form.files.setdefault(name, []).append(content)
        else:
            form.texts.setdefault(name, []).append(content.decode())
    except UnicodeDecodeError:
        return False
    return True
