"""Frames over a stream socket: a kind, a length, and as many bytes.

HTTP between two processes of one machine costs more processor time than it brings: a search carries one image one way
and a few numbers the other.
"""

from __future__ import annotations

import struct
from asyncio import StreamReader, StreamWriter
from typing import NamedTuple

_HEAD = struct.Struct("<HI")

BUFFER = 1 << 20
"""Bytes that a reader holds before it lets the writer wait: most images in one piece."""

PING = 0xFFFF
"""The kind of a frame that is answered with itself at once, by the event loop, while other threads work."""


class Frame(NamedTuple):
    """`kind`: 0 to 65,534, whose meaning the two ends agree on, or `PING`; `body`: less than 4 GiB."""

    kind: int
    body: bytes


async def read_frame(reader: StreamReader) -> Frame:
    """The next frame. Raises `EOFError` when the connection ends before the frame does."""
    kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    return Frame(kind, await reader.readexactly(length))


async def write_frame(writer: StreamWriter, frame: Frame) -> None:
    """Send a frame. Raises `OSError` when the connection is broken."""
    writer.writelines((_HEAD.pack(frame.kind, len(frame.body)), frame.body))
    await writer.drain()
