"""`make bench-scale`: memory, recall and time of each vector index over large bases, on a real Milvus server.

The base holds made people: unit vectors, each with ten noisy copies, as ten photos of one person. The queries are
further copies. Searches go through the vector store of image-search. Nothing else runs meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.latency_table import percentile
from bench.processes import MILVUS, costs
from bench.rig import COLLECTIONS
from bench.vector_base import Vectors, fill, neighbours, settle, strangers
from bentos.demo.servers.milvus import milvus_server
from bentos.stores.milvus.client import AsyncMilvusClient
from bentos.stores.milvus.options import IndexType, MilvusOptions
from bentos.stores.milvus.schema import EMBEDDING, METRIC
from bentos.stores.milvus.store import MilvusVectorStore

DIM = 512
_PHOTOS_OF_A_PERSON = 10
_QUERIES = 200
_BEST = 10
_CLIENTS = 4
_INDEXES: tuple[IndexType, ...] = ("HNSW", "IVF_FLAT", "FLAT")


@dataclass(frozen=True, slots=True)
class Row:
    """One index over one base. `recall`: share of the ten best photos of an exact search that are found, 0..1.

    `p50_ms`, `p95_ms`: one search at a time. `rps`: answers per second to four clients. `milvus_ms`: CPU time of a
    search in Milvus, `memory_mb`: its resident memory; None for a server that runs elsewhere.
    """

    vectors: int
    index: str
    build_s: float
    recall: float
    p50_ms: float
    p95_ms: float
    rps: float
    milvus_ms: float | None
    memory_mb: float | None


class Base:
    """`count` vectors in Milvus, and the ten best of an exact search for each query."""

    def __init__(self, count: int) -> None:
        self.count = count
        people = max(1, count // _PHOTOS_OF_A_PERSON)
        self._people: Vectors = np.concatenate(list(strangers(DIM, people)))
        self.queries: Vectors = np.concatenate(list(neighbours(self._people, _QUERIES, seed=1)))

    def vectors(self) -> Iterator[Vectors]:
        """The same batches at each call."""
        return neighbours(self._people, self.count)

    def exact(self, prefix: str) -> list[set[str]]:
        """The ids of the best photos for each query, as `fill` names them."""
        scores: Any = np.full((_QUERIES, _BEST), -np.inf, np.float32)
        numbers: Any = np.zeros((_QUERIES, _BEST), np.int64)
        first = 0
        for batch in self.vectors():
            all_scores = np.concatenate([scores, self.queries @ batch.T], axis=1)
            all_numbers = np.concatenate(
                [numbers, np.broadcast_to(np.arange(first, first + len(batch)), (_QUERIES, len(batch)))],
                axis=1,
            )
            best = np.argpartition(-all_scores, _BEST - 1, axis=1)[:, :_BEST]
            scores = np.take_along_axis(all_scores, best, axis=1)
            numbers = np.take_along_axis(all_numbers, best, axis=1)
            first += len(batch)
        return [{f"{prefix}-{number:08d}" for number in row} for row in numbers.tolist()]


async def measure(base: Base, uri: str, options: argparse.Namespace) -> list[Row]:
    """A row for each index, one after the other over the same vectors."""
    first, *others = options.indexes
    prefix = f"scale{base.count}"
    chosen = MilvusOptions(
        uri=uri,
        alias=f"scale_{base.count}",
        dim=DIM,
        pack_name="made",
        fingerprint="0" * 64,
        index_type=first,
        ivf_nlist=_lists(base.count),
        consistency="Bounded",
        timeout_s=600,
        load_timeout_s=600,
    )
    store = MilvusVectorStore(chosen)
    await store.open()
    _say(f"filling {base.count} vectors")
    await fill(store, base.vectors(), COLLECTIONS, count=base.count, prefix=prefix)
    exact = base.exact(prefix)
    rows = []
    for index in (first, *others):
        _say(f"building {index}")
        if index != first:
            await store.close()
            await _replace_index(chosen, index)
            store = MilvusVectorStore(replace(chosen, index_type=index))
            await store.open()
        began = time.monotonic()
        await settle(uri, chosen.alias, base.count, within_s=options.build_within)
        build_s = time.monotonic() - began
        _say(f"measuring {index}")
        rows.append(await _row(store, base, exact, index, build_s))
        print(_line(rows[-1]), flush=True)
    await store.close()
    return rows


async def _row(
    store: MilvusVectorStore, base: Base, exact: list[set[str]], index: str, build_s: float
) -> Row:
    for query in base.queries[:20]:
        await _found(store, query)
    before = _milvus_cpu_s()
    found, seconds = [], []
    for query in base.queries:
        began = time.perf_counter()
        found.append(await _found(store, query))
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()

    async def client(number: int) -> None:
        for query in base.queries[number::_CLIENTS]:
            await _found(store, query)

    await asyncio.gather(*map(client, range(_CLIENTS)))
    elapsed, after = time.perf_counter() - began, _milvus_cpu_s()
    searches = 2 * len(base.queries)
    return Row(
        vectors=base.count,
        index=index,
        build_s=round(build_s, 1),
        recall=sum(len(one & best) for one, best in zip(found, exact, strict=True)) / (_QUERIES * _BEST),
        p50_ms=percentile(seconds, 0.5) * 1000,
        p95_ms=percentile(seconds, 0.95) * 1000,
        rps=len(base.queries) / elapsed,
        milvus_ms=None if before is None or after is None else (after - before) / searches * 1000,
        memory_mb=_milvus_memory_mb(),
    )


async def _found(store: MilvusVectorStore, query: Vectors) -> set[str]:
    matches = await store.nearest(query, photos=_BEST, score_threshold=-1.0)
    return {match.photo_id for match in matches}


async def _replace_index(options: MilvusOptions, index: IndexType) -> None:
    """Milvus builds another index over the same vectors."""
    client = AsyncMilvusClient(options.uri, dedicated=True)
    try:
        await client.release_collection(options.collection)
        await client.drop_index(options.collection, EMBEDDING)
        params = client.prepare_index_params()
        lists = {"nlist": options.ivf_nlist} if index == "IVF_FLAT" else {}
        params.add_index(EMBEDDING, index_type=index, index_name=EMBEDDING, metric_type=METRIC, params=lists)
        await client.create_index(options.collection, params)
    finally:
        await client.close()


def _lists(count: int) -> int:
    """Four times the square root of the number of vectors, as Milvus' documentation advises."""
    return min(65536, 4 * round(math.sqrt(count)))


def _milvus_cpu_s() -> float | None:
    spent = [cost.cpu_s for cost in costs().values() if cost.role == MILVUS]
    return sum(spent) if spent else None


def _milvus_memory_mb() -> float | None:
    resident = [cost.rss_mb for cost in costs().values() if cost.role == MILVUS]
    return round(sum(resident)) if resident else None


_HEAD = (
    f"{'vectors':>9} {'index':<9}{'build s':>9}{'recall':>8}{'p50 ms':>9}{'p95 ms':>9}"
    f"{'/s':>8}{'CPU ms':>9}{'MB':>8}"
)


def _line(row: Row) -> str:
    cpu = "" if row.milvus_ms is None else f"{row.milvus_ms:.1f}"
    memory = "" if row.memory_mb is None else f"{row.memory_mb:.0f}"
    return (
        f"{row.vectors:>9} {row.index:<9}{row.build_s:>9.0f}{row.recall:>8.3f}{row.p50_ms:>9.1f}{row.p95_ms:>9.1f}"
        f"{row.rps:>8.1f}{cpu:>9}{memory:>8}"
    )


def _say(line: str) -> None:
    print(f"... {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make bench-scale", description=__doc__)
    add = parser.add_argument
    add("vectors", type=int, nargs="*", default=[100_000], help="sizes of the base (100000)")
    add("--indexes", nargs="+", choices=_INDEXES, default=list(_INDEXES), help="in this order (all)")
    add("--uri", help="a running Milvus, such as a newer one; default: one that is started here")
    add("--build-within", type=float, default=7200, metavar="S", help="longest wait for an index (7200)")
    add("--reports", type=Path, default=Path("reports"), help="folder of scale.json (reports)")
    options = parser.parse_args()
    options.reports.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    print(_HEAD, flush=True)
    for count in options.vectors:
        with tempfile.TemporaryDirectory(prefix="face-search-scale-") as folder:
            server = nullcontext(options.uri) if options.uri else milvus_server(Path(folder))
            with server as uri:
                rows += asyncio.run(measure(Base(count), uri, options))
        (options.reports / "scale.json").write_text(
            json.dumps([asdict(row) for row in rows], indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
