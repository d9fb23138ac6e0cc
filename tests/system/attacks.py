"""Attacks of hostile or broken clients over plain sockets. Each returns a summary, or raises if it succeeded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.system.conftest import KEY
from tests.unit.imaging.image_bombs import OVERSIZED

CONNECTIONS = 200
HEAD = f"Host: x\r\nX-Api-Key: {KEY}\r\n"
FORM = "Content-Type: multipart/form-data; boundary=b\r\n"
OPENING = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
ENOUGH_S = 60

Attack = Callable[[int], Awaitable[str]]


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Everything that the service sends until it closes the connection."""
    said = b""
    async with asyncio.timeout(ENOUGH_S):
        while True:
            try:
                piece = await reader.read(65536)
            except ConnectionError:
                return said
            if not piece:
                return said
            said += piece


async def _dribbled(port: int, first: bytes, piece: bytes, every_s: float) -> bytes:
    """Send `first`, then `piece` repeatedly until the service closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    answer = asyncio.create_task(_answer(reader))
    try:
        while not answer.done() and not writer.is_closing():
            writer.write(piece)
            await asyncio.wait_for(writer.drain(), ENOUGH_S)
            await asyncio.sleep(every_s)
    except ConnectionError:
        pass
    said = await answer
    writer.close()
    return said


async def _many(count: int, one: Callable[[], Awaitable[bytes]]) -> str:
    """The statuses that `count` connections at once get, and `silence` for those closed without a response."""
    started = time.perf_counter()
    answers = await asyncio.gather(*(one() for _ in range(count)))
    told = Counter((said.split(b" ", 2)[1].decode() if said else "closed") for said in answers)
    assert not [status for status in told if status.startswith("5")], told
    seconds = time.perf_counter() - started
    return ", ".join(f"{n} x {status}" for status, n in sorted(told.items())) + f" after {seconds:.1f} s"


async def silence(port: int) -> str:
    """Connections that send nothing."""
    return await _many(CONNECTIONS, lambda: _dribbled(port, b"", b"", 0.5))


async def slow_headers(port: int) -> str:
    """Headers that are sent one letter at a time."""
    return await _many(100, lambda: _dribbled(port, b"GET /ping HTTP/1.1\r\nX-A: ", b"a", 0.3))


async def slow_uploads(port: int) -> str:
    """Photos that are sent a few bytes at a time."""
    head = f"POST /detect_faces/ HTTP/1.1\r\n{HEAD}{FORM}Content-Length: 1000000\r\n\r\n".encode()
    result = await _many(100, lambda: _dribbled(port, head + OPENING, b"x" * 20, 0.3))
    assert "x 422" in result, result
    return result


async def uploads_that_stop(port: int) -> str:
    """The first megabyte of a photo, and nothing more."""
    head = f"POST /detect_faces/ HTTP/1.1\r\n{HEAD}{FORM}Content-Length: 9000000\r\n\r\n".encode()
    result = await _many(50, lambda: _dribbled(port, head + OPENING + bytes(1 << 20), b"", 0.5))
    assert "x 422" in result, result
    return result


async def endless_bodies(port: int) -> str:
    """Endless chunks, to a path that takes an image, with a key and without."""
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    first = f"{len(OPENING):x}\r\n".encode() + OPENING + b"\r\n"
    open_ = f"POST /search/ HTTP/1.1\r\n{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n".encode()
    shut = b"POST /search/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    told = await _many(4, lambda: _dribbled(port, open_ + first, chunk, 0.02))
    assert "4 x 413" in told, told
    without = await _many(4, lambda: _dribbled(port, shut, chunk, 0.02))
    assert "4 x 401" in without, without
    return f"{told}; without a key {without}"


async def endless_headers(port: int) -> str:
    """Endless headers, trailers and addresses."""
    trailer = f"POST /search/ HTTP/1.1\r\n{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n0\r\n".encode()
    result = []
    for first, piece in (
        (b"GET /ping HTTP/1.1\r\n", b"X-A: " + b"a" * 4000 + b"\r\n"),
        (b"GET /ping HTTP/1.1\r\nX-A: ", b"a" * 4000),
        (b"GET /", b"a" * 4000),
        (trailer, b"X-A: " + b"a" * 4000 + b"\r\n"),
    ):
        result.append(await _many(4, lambda first=first, piece=piece: _dribbled(port, first, piece, 0.005)))
    return "; ".join(result)


async def wrong_content_lengths(port: int) -> str:
    """`Content-Length` too small, too big, negative, no number, twice, and together with chunks."""
    body = OPENING + b"x\r\n--b--\r\n"
    told = {}
    for name, lie in {
        "too small": f"Content-Length: {len(body) - 20}",
        "too big": f"Content-Length: {len(body) + 20}",
        "absent": "",
        "negative": "Content-Length: -1",
        "no number": "Content-Length: many",
        "twice": f"Content-Length: {len(body)}\r\nContent-Length: 3",
        "beside chunks": f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked",
        "beyond 64 bits": "Content-Length: " + "9" * 30,
        "far too big": "Content-Length: 99999999999",
    }.items():
        head = f"POST /search/ HTTP/1.1\r\n{HEAD}{FORM}{lie}".rstrip("\r\n") + "\r\n\r\n"
        said = await _dribbled(port, head.encode() + body, b"", 0.2)
        told[name] = said.split(b" ", 2)[1].decode()
        assert told[name] in {"400", "413", "422"}, (name, said)
        assert b'"results"' not in said
    return ", ".join(f"{name}: {status}" for name, status in told.items())


async def ids_of_megabytes(port: int) -> str:
    """An id of 5 MB, five thousand fields, ten thousand parameters."""
    told: Counter[int] = Counter()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-Api-Key": KEY}, timeout=60
    ) as client:
        for _ in range(5):
            long = "a" * (5 << 20)
            many = {f"f{n}": "x" for n in range(5000)}
            for response in (
                await client.post("/search/", data={"collection_id": long}, files={"file": b"x"}),
                await client.post("/detect_faces/", data={"photo_id": long}, files={"file": b"x"}),
                await client.send(_in_one_piece(client, data=many, files={"file": b"x"})),
                await client.send(_in_one_piece(client, files=[("file", b"x")] * 2000)),
                await client.post("/search/", data={"collection_id": ["a"] * 999}, files={"file": b"x"}),
                await client.get("/embed_status/?" + "&".join(["limit=1"] * 6000)),
            ):
                told[response.status_code] += 1
    assert set(told) <= {400, 413, 422}, told
    return ", ".join(f"{n} x {status}" for status, n in sorted(told.items()))


def _in_one_piece(client: httpx.AsyncClient, **form: Any) -> httpx.Request:
    """A search whose form is built in advance: httpx would take seconds for thousands of fields."""
    request = client.build_request("POST", "/search/", **form)
    return client.build_request("POST", "/search/", content=request.read(), headers=request.headers)


async def image_bombs(port: int) -> str:
    """Small files of all three formats that have, or claim to have, gigapixels."""
    told: Counter[str] = Counter()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-Api-Key": KEY}, timeout=60
    ) as client:
        for path in ("/search/", "/detect_faces/"):
            for kind, make in OVERSIZED.items():
                sides = (16383, 16383) if "webp" in kind else (65500, 65500)
                response = await client.post(path, files={"file": make(*sides)})
                told[response.json()["error"]] += 1
    assert set(told) <= {"image_too_large", "invalid_image_format"}, told
    assert told["image_too_large"] >= len(OVERSIZED), told
    return ", ".join(f"{n} x {error}" for error, n in told.items())


async def ends_of_ranges(port: int) -> str:
    """`top_k` and `page` at the ends of their ranges and beyond, with an invalid image, which is checked later."""
    told: Counter[int] = Counter()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-Api-Key": KEY}, timeout=60
    ) as client:
        for field in ("top_k", "page"):
            for value in (
                "0",
                "-1",
                "51" if field == "top_k" else str(2**31),
                str(2**63),
                "9" * 5000,
                "1e9",
                "",
                "x",
            ):
                response = await client.post("/search/", data={field: value}, files={"file": b"x"})
                told[response.status_code] += 1
    assert set(told) == {422}, told
    return ", ".join(f"{n} x {status}" for status, n in sorted(told.items()))


ATTACKS: dict[str, Attack] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        silence, slow_headers, slow_uploads, uploads_that_stop, endless_bodies, endless_headers,
        wrong_content_lengths, ids_of_megabytes, image_bombs, ends_of_ranges,
    )
}  # fmt: skip
