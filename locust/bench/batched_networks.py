"""Measures the networks and the pipeline of one process over batches, without the runner's processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bentos.pipeline.batched import graphs
from bentos.pipeline.batched.fixed_session import FixedSession, FixedSessions
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.pack_info import DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE
from bentos.pipeline.steps import Step
from bentos.runner.codec import Request, Ticket, encode_request
from bentos.runner.fixed_batches import FixedBatches

PHOTO = (640, 480)
"""Height and width of the photos."""

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "heuristic": {"cudnn_conv_algo_search": "HEURISTIC"},
    "exhaustive": {"cudnn_conv_algo_search": "EXHAUSTIVE"},
    "heuristic, NCHW": {"cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "0"},
    "heuristic, conv with bias": {"cudnn_conv_algo_search": "HEURISTIC", "fuse_conv_bias": "1"},
    "heuristic, no TF32": {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
    "heuristic, no graph": {"cudnn_conv_algo_search": "HEURISTIC", "enable_cuda_graph": "0"},
}
"""Options of CUDAExecutionProvider to compare."""


_kept: list[FixedSession] = []
"""Sessions are never closed: CUDA ends the process when one is closed while another records a graph."""


def try_provider(folder: Path, provider: str) -> None:
    """Run the landmark model once. Raises `ProviderNotInUse`, and any error of ONNX Runtime."""
    model = graphs.with_fixed_batch(graphs.load(str(folder / LANDMARKS_FILE)), 1).SerializeToString()
    sessions = FixedSessions([(provider, {})], threads=1)
    sessions.check(model)
    _kept.append(sessions.open(model, (1, 48, 48, 3)))


def network_rates(
    folder: Path,
    providers: Sequence[tuple[str, Mapping[str, str]]],
    batches: Sequence[int],
    *,
    seconds: float,
) -> dict[str, dict[int, dict[str, float]]]:
    """Images a second, and seconds to open, of the detector over photos and of the recogniser, by batch size."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for name, opened in (("detector 480x640", _detector), ("recogniser 112x112", _recogniser)):
        found[name] = {}
        for batch in batches:
            began = time.perf_counter()
            session, names = opened(folder, batch, providers)
            _kept.append(session)
            opening = time.perf_counter() - began
            found[name][batch] = {
                "images_per_s": round(batch * _rate(session, names, seconds), 1),
                "opening_s": round(opening, 2),
            }
    return found


def pipeline_rates(
    requests: FixedBatches,
    extraction: Extraction,
    jpegs: Sequence[bytes],
    batches: Sequence[int],
    *,
    seconds: float,
) -> dict[int, dict[str, Any]]:
    """Images a second of `detect_and_embed` by batch size, with the next batch decoded meanwhile, in one process.

    `requests`: those of `extraction`, whose networks are open in the thread that runs them.
    `networks_ms`: time in runs of each network, milliseconds per image; `detect` of the stages includes theirs.
    """
    timed = _TimedNetworks(extraction)
    numbers = count(1)
    found: dict[int, dict[str, Any]] = {}
    for batch in batches:

        def run(batch: int = batch) -> None:
            first = next(numbers)
            requests.answers(
                "detect_and_embed",
                [
                    encode_request(Request(jpegs[(first + place) % len(jpegs)]), Ticket())
                    for place in range(batch)
                ],
            )

        run()
        timed.clear()
        extraction.clock.take()
        began, done = time.perf_counter(), 0
        with ThreadPoolExecutor(2) as pool:
            while time.perf_counter() - began < seconds:
                list(pool.map(lambda _: run(), range(4)))
                done += 4 * batch
        spent = time.perf_counter() - began
        found[batch] = {
            "images_per_s": round(done / spent, 1),
            "networks_ms": {
                name: round(1000 * each / done, 3) for name, each in sorted(timed.seconds.items())
            },
        }
    return found


class _TimedNetworks:
    """Measures the runs of each network of an extraction."""

    def __init__(self, extraction: Extraction) -> None:
        self.seconds: dict[str, float] = {}
        pack: Any = extraction.networks
        original: Callable[[type[Step], Sequence[Any]], Sequence[Any]] = pack.run

        def run(kind: type[Step], items: Sequence[Any]) -> Sequence[Any]:
            began = time.perf_counter()
            try:
                return original(kind, items)
            finally:
                spent = time.perf_counter() - began
                self.seconds[kind.__name__] = self.seconds.get(kind.__name__, 0.0) + spent

        pack.run = run

    def clear(self) -> None:
        self.seconds.clear()


def _rate(session: FixedSession, names: Sequence[str], seconds: float) -> float:
    """Runs a second, with the copies of the items and of these outputs."""
    session.buffer[:] = np.random.default_rng(0).integers(0, 256, session.buffer.shape, np.uint8)
    count = len(session.buffer)
    session.run(names, count)
    began, runs = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        session.run(names, count)
        runs += 1
    return runs / spent


_Opened = tuple[FixedSession, Sequence[str]]


def _detector(folder: Path, batch: int, providers: Sequence[tuple[str, Mapping[str, str]]]) -> _Opened:
    model = graphs.load(str(folder / DETECTOR_FILE))
    height, width = PHOTO
    graphs.with_best_rows(model, batch=batch, height=height, width=width, most=256)
    graphs.with_byte_input(model, batch=batch, height=height, width=width, mean=127.5, std=128.0)
    session = FixedSessions(providers, threads=1).open(model.SerializeToString(), (batch, height, width, 3))
    return session, [graphs.BEST_SCORES, graphs.BEST_ROWS]


def _recogniser(folder: Path, batch: int, providers: Sequence[tuple[str, Mapping[str, str]]]) -> _Opened:
    model = graphs.load(str(folder / RECOGNISER_FILE))
    graphs.with_byte_input(model, batch=batch, height=112, width=112, mean=127.5, std=127.5)
    session = FixedSessions(providers, threads=1).open(model.SerializeToString(), (batch, 112, 112, 3))
    return session, [model.graph.output[0].name]
