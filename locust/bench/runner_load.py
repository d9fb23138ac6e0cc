"""Starts the runner alone and loads it over its own socket: closed loop, a number of callers in a few processes."""

from __future__ import annotations

import asyncio
import itertools
import math
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import uvloop

from bench.runner_alone import SOCKET_FILE
from bentos.demo.process import DidNotStart, launched
from bentos.domain.deadline import deadline_within
from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import Embedding, FacesInImage
from bentos.pipeline.methods import Method
from bentos.pipeline.stage_clock import STAGES
from bentos.runner.codec import Request, Ticket, decode_faces, encode_request, split_timing
from bentos.runner.transport.sockets import SocketTransport

_MOST_TRACEBACKS = 3
"""BentoML starts a process that ends again and again; after so many traces the cause will not go away."""
_WARM_UP_S = 2.0
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of clients measured. `batches`: answers by the size of their batch; `stage_ms`: per image.

    `faces`: in all answers. `least_cosine`: of the first faces in answers to the same image.
    """

    clients: int
    images: int
    seconds: float
    failures: Mapping[str, int]
    latencies_ms: Sequence[float]
    batches: Mapping[int, int]
    stage_ms: Mapping[str, float]
    faces: int
    least_cosine: float

    def as_dict(self) -> dict[str, Any]:
        """For a report."""
        return {
            "clients": self.clients,
            "images_per_s": round(self.images / self.seconds, 1),
            "p50_ms": round(float(np.percentile(self.latencies_ms or [math.nan], 50)), 1),
            "p95_ms": round(float(np.percentile(self.latencies_ms or [math.nan], 95)), 1),
            "p99_ms": round(float(np.percentile(self.latencies_ms or [math.nan], 99)), 1),
            "mean_batch": round(
                sum(size * count for size, count in self.batches.items()) / max(1, self.images), 1
            ),
            "answers_by_batch_size": dict(sorted(self.batches.items())),
            "stage_ms": {stage: round(ms, 3) for stage, ms in self.stage_ms.items()},
            "faces_per_image": round(self.faces / max(1, self.images), 3),
            "least_cosine_of_one_image": round(self.least_cosine, 6),
            "failures": dict(self.failures),
        }


@contextmanager
def runner_alone(
    environment: Mapping[str, str], *, workers: int, log: Path, start_within_s: float = 180
) -> Iterator[Path]:
    """The path of the shared socket of a running runner, whose `workers` processes all listen. Raises `DidNotStart`."""
    told = log.with_suffix(".socket")
    told.unlink(missing_ok=True)
    here = str(Path(__file__).parents[1])
    environment = {
        "API_KEY": "0" * 48,
        "MILVUS_URI": "unused.db",
        **environment,
        "RUNNER_WORKERS": str(workers),
        SOCKET_FILE: str(told),
        "PYTHONPATH": ":".join([".", here, *sys.path[1:]]),
    }
    with launched("bench.runner_alone:RunnerAlone", environment, log=log) as service:
        until = time.monotonic() + start_within_s
        while (
            time.monotonic() < until
            and service.process.poll() is None
            and log.read_text(errors="replace").count("Traceback") < _MOST_TRACEBACKS
        ):
            if told.exists():
                shared = Path(told.read_text(encoding="utf-8"))
                if len(list(shared.parent.glob(f"{shared.name}.*"))) >= workers:
                    yield shared
                    return
            time.sleep(0.1)
        raise DidNotStart(f"the runner did not start; the end of its log:\n{log.read_text()[-2000:]}")


def measure(
    shared: Path, jpegs: Sequence[bytes], *, method: Method, clients: int, seconds: float, processes: int
) -> Load:
    """Call the runner with `clients` callers at once, spread over `processes` processes, after a warm-up."""
    context = multiprocessing.get_context(
        "forkserver"
    )  # imports once, and forks from a process without threads
    context.set_forkserver_preload(["__main__", "bench.runner_load"])
    processes = max(1, min(processes, clients))
    ready, results = context.Barrier(processes), context.Queue()
    shares = [clients // processes + (number < clients % processes) for number in range(processes)]
    workers = [
        context.Process(
            target=_load, args=(str(shared), list(jpegs), method, share, seconds, ready, results), daemon=True
        )
        for share in shares
    ]
    for worker in workers:
        worker.start()
    try:
        parts: list[_Part] = [results.get(timeout=120 + seconds) for _ in workers]
    except Empty:
        raise RuntimeError("a load generator ended without a result") from None
    finally:
        for worker in workers:
            worker.join(1)
            worker.kill()
    images = sum(part.images for part in parts)
    batches: Counter[int] = sum((part.batches for part in parts), Counter())
    stages = {stage: sum(part.stages[stage] for part in parts) for stage in parts[0].stages}
    return Load(
        clients=clients,
        images=images,
        seconds=max(part.seconds for part in parts),
        failures=sum((part.failures for part in parts), Counter()),
        latencies_ms=[ms for part in parts for ms in part.latencies_ms],
        batches=batches,
        stage_ms={stage: 1000 * spent / max(1, images) for stage, spent in stages.items()},
        faces=sum(part.faces for part in parts),
        least_cosine=min(part.least_cosine for part in parts),
    )


@dataclass(slots=True)
class _Part:
    """What one process measured. `first_embeddings`: of the first answer to each image."""

    seconds: float = 0.0
    images: int = 0
    faces: int = 0
    least_cosine: float = 1.0
    first_embeddings: dict[int, Embedding] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    batches: Counter[int] = field(default_factory=Counter)
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("to_runner", *STAGES), 0.0))

    def see(self, place: int, found: FacesInImage) -> None:
        """Count the faces in an answer, and compare the first one with that of an earlier answer."""
        self.faces += len(found.faces)
        if found.faces and (embedding := found.faces[0].embedding) is not None:
            first = self.first_embeddings.setdefault(place, embedding)
            self.least_cosine = min(self.least_cosine, float(first @ embedding))


def _load(
    shared: str, jpegs: list[bytes], method: Method, clients: int, seconds: float, ready: Any, results: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C the process that has started this one ends it
    results.put(uvloop.run(_callers(Path(shared), jpegs, method, clients, seconds, ready)))


async def _callers(
    shared: Path, jpegs: list[bytes], method: Method, clients: int, seconds: float, ready: Any
) -> _Part:
    transport = SocketTransport(shared)
    images = itertools.cycle(enumerate(jpegs))
    part = _Part()

    async def call(until: float, into: _Part) -> None:
        while (asked := time.monotonic()) < until:
            number = random.getrandbits(64)
            place, image = next(images)
            payload = encode_request(Request(image), Ticket(number, deadline_within(_TIMEOUT_S)))
            try:
                timing, answer = split_timing(await transport.ask(method, payload, number))
                found = decode_faces(answer)
            except (FaceSearchError, OSError) as error:
                into.failures[type(error).__name__] += 1
                continue
            into.latencies_ms.append(1000 * (time.monotonic() - asked))
            into.images += 1
            into.see(place, found)
            into.batches[timing.batch] += 1
            into.stages["to_runner"] += timing.began - asked
            for stage in STAGES:
                into.stages[stage] += getattr(timing, stage)

    async def all_callers(duration: float, into: _Part) -> None:
        began = time.monotonic()
        await asyncio.gather(*(call(began + duration, into) for _ in range(clients)))
        into.seconds = time.monotonic() - began

    await all_callers(_WARM_UP_S, _Part())
    await asyncio.to_thread(ready.wait, 60)
    await all_callers(seconds, part)
    await transport.close()
    return part
