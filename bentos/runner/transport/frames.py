"""Frames over a stream socket: a kind, a length, and that number of bytes.

HTTP between two processes of one machine costs too much processor time here: a search sends one image and receives a
few numbers.
"""

from __future__ import annotations

import struct
from asyncio import StreamReader, StreamWriter
from typing import NamedTuple

_HEAD = struct.Struct("<HI")

BUFFER = 1 << 20
"""Bytes that a reader buffers before the writer has to wait: enough for most images."""

PING = 0xFFFF
"""The kind of a frame that the event loop returns unchanged and at once, while other threads work."""


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
