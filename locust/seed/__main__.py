"""Fills the object store, the metadata and Milvus with photos, by `python -m bentos.bulk`.

Reads the same environment as image-vectorizer. Can be stopped (Ctrl-C) and run again: indexed photos are passed over.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence

from bench.vector_base import fill, strangers
from bentos.bulk.__main__ import main as bulk
from bentos.config.loading import load_settings, read_settings
from bentos.config.settings import SettingsError
from bentos.domain.errors import FaceSearchError
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.cpus import available_cpus
from bentos.stores.base import VectorStore
from bentos.stores.factory import vector_store
from seed.made_photos import store_made

MADE = "made"
_DEFAULT_PHOTOS = 5000
_DEFAULT_COLLECTIONS = [("made-a", MADE), ("made-b", MADE)]
_INTERRUPTED = 130
_NOT_DONE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: the highest of the collections'."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.vectors_only:
            return _vectors_only(options)
        return _index_all(options)
    except (SettingsError, FaceSearchError) as error:
        print(error, file=sys.stderr)
        return _NOT_DONE
    except KeyboardInterrupt:
        print("stopped; run it again to continue", file=sys.stderr)
        return _INTERRUPTED


def _index_all(options: argparse.Namespace) -> int:
    status = 0
    for name, source in options.collection or _DEFAULT_COLLECTIONS:
        status = max(status, _index(name, source, options))
        if status == _NOT_DONE:
            break
    return status


def _index(name: str, source: str, options: argparse.Namespace) -> int:
    print(f"collection {name}: {source}", flush=True)
    processes = options.processes or available_cpus()
    more = ["--collection", name, "--processes", str(processes)]
    if source != MADE:
        return bulk([source, *more])
    settings = load_settings("image-vectorizer")
    ids = asyncio.run(store_made(name, options.photos, settings, processes=processes))
    with tempfile.NamedTemporaryFile("w", prefix="photo-ids-", suffix=".txt") as listed:
        listed.write("\n".join(ids))
        listed.flush()
        return bulk([listed.name, *more])


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
        prog="python -m seed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--collection",
        type=_collection,
        action="append",
        metavar="NAME=SOURCE",
        help="may be repeated; SOURCE is a folder, s3://BUCKET/PREFIX or made (default: made-a=made and made-b=made)",
    )
    add("--photos", type=int, default=_DEFAULT_PHOTOS, help="number of made photos in each collection (5000)")
    add("--processes", type=int, default=0, help="number of processes; default: one per CPU")
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
