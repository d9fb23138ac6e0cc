"""Fills the object store, the metadata and Milvus with photos, with the same code as the API.

Reads the same environment as image-vectorizer. Can be stopped (Ctrl-C) and run again: indexed photos are skipped.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from queue import Empty
from typing import Any

from tqdm import tqdm

from bench.vector_base import fill, strangers
from bentos.config.loading import load_settings, read_settings
from bentos.config.settings import Settings, SettingsError
from bentos.domain.errors import FaceSearchError
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.cpus import available_cpus
from bentos.stores.base import VectorStore
from bentos.stores.factory import vector_store
from seed.seed_sources import MADE, Item, items_of
from seed.seeding import Seeded, WorkerFailed, seed_share

_DEFAULT_PHOTOS = 5000
_DEFAULT_COLLECTIONS = [("made-a", MADE), ("made-b", MADE)]
_INTERRUPTED = 130
_OUTCOMES = ("indexed", "already there", "no face", "unreadable", "failed")


def main() -> int:
    """Run the command line. Returns the exit status."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _vectors_only(options) if options.vectors_only else _photos(options)
    except (SettingsError, FaceSearchError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1


def _photos(options: argparse.Namespace) -> int:
    settings = load_settings("image-vectorizer")
    collections = options.collection or _DEFAULT_COLLECTIONS
    items: list[Item] = []
    for name, source in collections:
        items += items_of(name, source, options.photos, settings)
    lite = not settings.milvus_uri.startswith("http")
    processes = 1 if lite else options.processes or available_cpus()
    if lite and options.processes != 1:
        print("Milvus Lite is a file for one process: seeding with one process.", file=sys.stderr)
    started = time.monotonic()
    crew = _Crew(items, settings, processes)
    interrupted = crew.run()
    _summary(crew.seeded, len(items), time.monotonic() - started)
    for reason, count in crew.reasons.most_common(5):
        print(f"{count} times: {reason}", file=sys.stderr)
    if interrupted:
        print("stopped; run it again to continue", file=sys.stderr)
        return _INTERRUPTED
    return 1 if crew.broken or any(each.outcome == "failed" for each in crew.seeded) else 0


class _Crew:
    """The worker processes and their results."""

    def __init__(self, items: Sequence[Item], settings: Settings, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._results = context.Queue()
        self._total = len(items)
        self._workers = [
            context.Process(
                target=seed_share, args=(items[first::processes], settings, self._stop, self._results)
            )
            for first in range(processes)
        ]
        self.seeded: list[Seeded] = []
        self.reasons: Counter[str] = Counter()
        self.broken = False

    def run(self) -> bool:
        """Wait until the workers have finished. Returns whether they were stopped before the end."""
        self._start()
        interrupted = False
        with tqdm(total=self._total, unit="photo") as progress:
            while True:
                try:
                    if not self._took_one(progress):
                        return interrupted
                except KeyboardInterrupt:
                    if not interrupted:
                        progress.write("finishing the photos in progress ...", file=sys.stderr)
                    interrupted = True
                    self._stop.set()

    def _start(self) -> None:
        """Start the workers with Ctrl-C ignored: the terminal sends it to every process; only this one handles it."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for worker in self._workers:
            worker.start()
        signal.signal(signal.SIGINT, before)

    def _took_one(self, progress: tqdm[Any]) -> bool:
        """Receive one result; False when all workers have ended and no result is left."""
        alive = any(worker.is_alive() for worker in self._workers)
        try:
            found = self._results.get(timeout=0.3)
        except Empty:
            if not alive:
                self._look_for_the_dead()
            return alive
        if isinstance(found, WorkerFailed):
            self._fail(found.reason)
        else:
            self.seeded.append(found)
            progress.update()
            if found.reason:
                self.reasons[found.reason] += 1
        return True

    def _look_for_the_dead(self) -> None:
        for worker in self._workers:
            if worker.exitcode:
                self._fail(f"a process ended with status {worker.exitcode}")

    def _fail(self, reason: str) -> None:
        self.broken = True
        self.reasons[reason] += 1


def _summary(seeded: Sequence[Seeded], total: int, seconds: float) -> None:
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    faces: Counter[str] = Counter()
    for each in seeded:
        outcomes[each.collection_id][each.outcome] += 1
        faces[each.collection_id] += each.faces
    width = max([len("collection"), *(len(name) for name in outcomes)])
    print(f"{'collection':<{width}}" + "".join(f"{name:>15}" for name in (*_OUTCOMES, "faces")))
    for name, counts in sorted(outcomes.items()):
        cells = [*(counts[outcome] for outcome in _OUTCOMES), faces[name]]
        print(f"{name:<{width}}" + "".join(f"{cell:>15}" for cell in cells))
    rate = len(seeded) / seconds if seconds else 0.0
    print(f"{len(seeded)} of {total} photos in {seconds:.0f} s, {rate:.1f} per second")


def _vectors_only(options: argparse.Namespace) -> int:
    settings = read_settings()
    if not settings.milvus_uri:
        raise SettingsError("MILVUS_URI is not set.")
    store = vector_store(settings, PackInfo.read(face_pack_folder(settings.face_pack)))
    collections = [name for name, _ in options.collection or _DEFAULT_COLLECTIONS]
    asyncio.run(_fill(store, options.vectors_only, settings.embedding_dim, collections))
    print(f"{options.vectors_only} vectors in {', '.join(collections)}")
    return 0


async def _fill(store: VectorStore, count: int, dim: int, collections: list[str]) -> None:
    await store.open()
    try:
        await fill(store, strangers(dim, count), collections, count=count, prefix="vector")
    finally:
        await store.close()


def _collection(text: str) -> tuple[str, str]:
    name, _, source = text.partition("=")
    return name, source or MADE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--collection",
        type=_collection,
        action="append",
        metavar="NAME=SOURCE",
        help="may be repeated; SOURCE is a folder, bucket:PREFIX (in S3_BUCKET) or made "
        "(default: made-a=made and made-b=made)",
    )
    add("--photos", type=int, default=_DEFAULT_PHOTOS, help="most photos in each collection (5000)")
    add(
        "--processes",
        type=int,
        default=0,
        help="number of processes; default: one per CPU; with Milvus Lite always one",
    )
    add(
        "--vectors-only",
        type=int,
        metavar="N",
        help="no photos: N random unit vectors directly into Milvus, to measure searches among many faces; "
        "metadata and object store get no record of them",
    )
    return parser


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
