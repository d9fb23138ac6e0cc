"""A cheap closed-loop load generator: each client sends its next search when the previous one is answered.

It runs as a separate process, so that its CPU time can be measured separately. It prints `begin` after the warm-up and
one line of JSON at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop

from bench import search_form
from bench.answer_check import reason_of_failure
from bench.search_form import SearchTask, never_the_same, search_tasks

_THOROUGH_EVERY = 20
_RECONNECT_S = 0.05


@dataclass(slots=True)
class Tally:
    """The responses since the end of the warm-up; `ms` of the right ones."""

    measuring: bool = False
    ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def right(self, seconds: float) -> None:
        """Record a right response after this number of seconds."""
        if self.measuring:
            self.ms.append(seconds * 1000)

    def wrong(self, reason: str) -> None:
        """Record an error response, a wrong one or a missing one."""
        if self.measuring:
            self.failures[reason] += 1


class Requests:
    """Complete requests as bytes, ready to be written to a socket."""

    def __init__(self, host: str, key: str, tasks: list[SearchTask], jpegs: list[bytes]) -> None:
        self._head = (
            f"POST {search_form.PATH} HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {key}\r\n"
            f"Content-Type: {search_form.CONTENT_TYPE}\r\nContent-Length: "
        ).encode()
        self._work: Iterator[tuple[SearchTask, bytes]] = zip(
            itertools.cycle(tasks), never_the_same(jpegs), strict=False
        )

    def following(self) -> tuple[SearchTask, bytes]:
        """The next search and the bytes of its request."""
        kind, jpeg = next(self._work)
        body = kind.body(jpeg)
        return kind, b"".join([self._head, str(len(body)).encode(), b"\r\n\r\n", body])


class Client(asyncio.Protocol):
    """One keep-alive connection with one request in progress at any time."""

    def __init__(self, requests: Requests, tally: Tally, lost: asyncio.Event) -> None:
        self._requests, self._tally, self._lost = requests, tally, lost
        self._answered = 0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport: Any = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Parse a part of a response, or all of it."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record an error if a response was expected."""
        if self._waiting:
            self._tally.wrong(f"connection lost ({type(exc).__name__})")
        self._lost.set()

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        seconds = time.perf_counter() - self._sent
        self._waiting = False
        self._answered += 1
        thorough = self._answered % _THOROUGH_EVERY == 0
        status, body = self._parser.get_status_code(), b"".join(self._body)
        reason = reason_of_failure(self._kind, status, body, thorough=thorough)
        if reason is None:
            self._tally.right(seconds)
        else:
            self._tally.wrong(reason)
        if self._parser.should_keep_alive():
            self._ask()
        else:
            self._transport.close()

    def _ask(self) -> None:
        self._kind, request = self._requests.following()
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = True
        self._sent = time.perf_counter()
        self._transport.write(request)


async def _client(url: str, requests: Requests, tally: Tally) -> None:
    address = urlsplit(url)
    secure = address.scheme == "https"
    port = address.port or (443 if secure else 80)
    while True:
        lost = asyncio.Event()
        client = Client(requests, tally, lost)
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda client=client: client,
                address.hostname or "",
                port,
                ssl=secure or None,
            )
            try:
                await lost.wait()
            finally:
                transport.abort()
        except OSError as error:
            tally.wrong(f"no connection ({type(error).__name__})")
        await asyncio.sleep(_RECONNECT_S)


async def measure(
    url: str, requests: Requests, *, clients: int, seconds: float, warm_up_s: float
) -> dict[str, Any]:
    """Run this number of clients, first to warm up. Returns the responses since the end of the warm-up."""
    tally = Tally()
    tasks = [asyncio.create_task(_client(url, requests, tally)) for _ in range(clients)]
    await asyncio.sleep(warm_up_s)
    print("begin", flush=True)
    tally.measuring = True
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    tally.measuring = False
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)  # aborted connections are closed in the next iteration of the event loop
    return {
        "clients": clients,
        "seconds": elapsed,
        "cpu_s": cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ms": [round(each, 3) for each in tally.ms],
        "failures": dict(tally.failures),
    }


def main() -> int:
    """Run the command line; the key comes from API_KEY. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--top-k", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--collections", nargs="+", default=["made-a", "made-b"])
    parser.add_argument("--selfies", type=Path, required=True, help="a folder of JPEGs")
    options = parser.parse_args()
    jpegs = [path.read_bytes() for path in sorted(options.selfies.glob("*.jp*g"))]
    key = os.environ["API_KEY"].split(",")[0]
    tasks = search_tasks(options.collections, options.top_k)
    requests = Requests(urlsplit(options.url).netloc, key, tasks, jpegs)
    run = measure(
        options.url, requests, clients=options.clients, seconds=options.seconds, warm_up_s=options.warm_up
    )
    print(json.dumps(uvloop.run(run)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
