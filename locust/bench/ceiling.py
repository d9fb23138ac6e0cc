"""Measures the pipeline called directly, one process per core, no HTTP, no Milvus: the ceiling of a service."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty
from typing import Any, Literal

from bench.bare_pipeline import BarePipeline
from bentos.config.settings import Settings
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import extraction_of

Work = Literal["search", "bare", "index"]
"""What is done with each image: what the runner does for a search or for indexing a photo (all faces detected and
embedded), or what every face search does at least (`bare_pipeline.py`)."""

_WARM_UP_IMAGES = 20
_START_WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`rps`: images per second of all processes together. `stage_ms`: milliseconds per image, by stage."""

    rps: float
    processes: int
    stage_ms: Mapping[str, float]
    cpu_ms: float


def measure_ceiling(
    jpegs: Sequence[bytes], settings: Settings, *, processes: int, seconds: float, work: Work = "search"
) -> Ceiling:
    """Run the pipeline over the images repeatedly, in this number of processes at once."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(
            target=_work, args=(list(jpegs), settings, seconds, work, ready, results), daemon=True
        )
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        found = [results.get(timeout=_START_WITHIN_S + seconds) for _ in workers]
    except Empty:
        raise RuntimeError("a process of the ceiling ended without a result") from None
    finally:
        for worker in workers:
            worker.join(1)
            worker.kill()
    images = sum(each["images"] for each in found)
    return Ceiling(
        rps=sum(each["images"] / each["elapsed"] for each in found),
        processes=processes,
        stage_ms={
            stage: 1000 * sum(each["stages"][stage] for each in found) / images
            for stage in found[0]["stages"]
        },
        cpu_ms=1000 * sum(each["cpu"] for each in found) / images,
    )


def mean_of(measured: Sequence[Ceiling]) -> Ceiling:
    """The means over several measurements."""
    count = len(measured)
    return Ceiling(
        rps=sum(each.rps for each in measured) / count,
        processes=measured[0].processes,
        stage_ms={
            stage: sum(each.stage_ms[stage] for each in measured) / count for stage in measured[0].stage_ms
        },
        cpu_ms=sum(each.cpu_ms for each in measured) / count,
    )


def _work(
    jpegs: list[bytes], settings: Settings, seconds: float, work: Work, ready: Any, results: Any
) -> None:
    embed, take_stages = _pipeline(settings, work)
    images = itertools.cycle(jpegs)
    for _ in range(_WARM_UP_IMAGES):
        embed(next(images))
    ready.wait(_START_WITHIN_S)
    take_stages()
    count, started, cpu = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < seconds:
        embed(next(images))
        count += 1
    spent = time.process_time() - cpu
    results.put({"images": count, "elapsed": elapsed, "cpu": spent, "stages": take_stages()})


def _pipeline(
    settings: Settings, work: Work
) -> tuple[Callable[[bytes], object], Callable[[], Mapping[Any, float]]]:
    """What does the work on one image, and what returns the seconds by stage since its last call."""
    folder = face_pack_folder(settings.face_pack)
    if work == "bare":
        return BarePipeline(folder).embed, dict
    extraction = extraction_of(folder, settings)
    method = extraction.embed_only_face if work == "search" else extraction.detect_and_embed
    return (lambda image: method([image])), extraction.clock.take
