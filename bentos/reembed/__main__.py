"""Changes a base to the face pack of FACE_PACK while services of the old pack run.

Embeds every indexed face into a separate collection, repeats this for what is added, changed and removed meanwhile,
then moves the alias, so that services of the new version become ready. Running services stay on their collection. The
command can be stopped and run again at any time. Run it once more when no service of the old version runs any more, to
include the last writes of those services. To go back, run the same command with the settings of the old version.

Exit status: 0 done; 1 done, but some faces could not be embedded; 2 not done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bentos.config.loading import load_settings
from bentos.config.settings import Settings, SettingsError
from bentos.domain.errors import DependencyUnavailable, FaceSearchError
from bentos.jobs.command import at_least_one
from bentos.jobs.face_pool import FacePool, PoolBroken
from bentos.jobs.patience import Patience, Stopped
from bentos.jobs.progress import say
from bentos.jobs.signals import stop_on_signals
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import checked_pack, face_pack_folder
from bentos.reembed.change import Change, Report, WrongStores
from bentos.reembed.passes import Passes
from bentos.runner.cpus import available_cpus
from bentos.stores.base import ImageStore, MetadataStore
from bentos.stores.factory import image_store, metadata_store, replacement_vector_store
from bentos.stores.replacement import ReplacementVectorStore
from bentos.vectorizer.leasing import PhotoLeases
from bentos.vectorizer.mirroring import Mirroring
from bentos.vectorizer.vector_writer import VectorWriter

_IN_FLIGHT = 4
"""Photos in progress for each process: one is embedded while others are read and written."""
_EXAMPLES = 20
_NOT_DONE = 2


@dataclass(frozen=True, slots=True)
class _Stores:
    metadata: MetadataStore
    images: ImageStore
    vectors: ReplacementVectorStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings("image-vectorizer")
        pack = checked_pack(settings)
        return asyncio.run(_reembed(settings, pack, options))
    except (SettingsError, WrongStores, PoolBroken) as error:
        say(str(error))
    except FaceSearchError as error:
        say(error.message)
    except (Stopped, KeyboardInterrupt):
        say("stopped; nothing is lost, run it again to go on")
    return _NOT_DONE


async def _reembed(settings: Settings, pack: PackInfo, options: argparse.Namespace) -> int:
    patience = Patience(say)
    stop_on_signals(patience, say)
    stores = _Stores(
        metadata_store(settings), image_store(settings), replacement_vector_store(settings, pack)
    )
    async with AsyncExitStack() as opened:
        for store in (stores.vectors, stores.metadata, stores.images):
            opened.push_async_callback(store.close)
        processes = options.processes or available_cpus()
        pool = FacePool(face_pack_folder(settings.face_pack), settings, processes=processes)
        opened.push_async_callback(pool.close)
        passes = _passes(settings, stores, pool, patience, in_flight=_IN_FLIGHT * processes)
        await _refuse_a_busy_file(settings, stores)
        await patience.read(stores.metadata.open)
        await patience.read(stores.images.open)
        if options.dry_run:
            return await _foretell(settings, stores, passes, patience)
        await patience.read(stores.vectors.open)
        say(f"base {settings.milvus_collection!r}: changing to the face pack {pack.name!r}")
        begun = time.monotonic()
        change = Change(passes, stores.vectors, patience, say, alias=settings.milvus_collection)
        report = await change.run()
        if options.remove_old:
            await change.remove_old(report)
        return _summary(report, time.monotonic() - begun)


def _passes(
    settings: Settings, stores: _Stores, pool: FacePool, patience: Patience, *, in_flight: int
) -> Passes:
    mirroring = Mirroring(
        writer=VectorWriter(embedder=pool, metadata=stores.metadata, vectors=stores.vectors),
        metadata=stores.metadata,
        vectors=stores.vectors,
        images=stores.images,
        max_image_bytes=settings.vectorize_max_image_bytes,
        leases=PhotoLeases(stores.metadata, lease_s=settings.lease_s),
    )
    return Passes(
        mirroring=mirroring,
        metadata=stores.metadata,
        vectors=stores.vectors,
        patience=patience,
        in_flight=in_flight,
    )


async def _refuse_a_busy_file(settings: Settings, stores: _Stores) -> None:
    """Fail at once when a service has the Milvus Lite file open, because it keeps it open as long as it runs."""
    if settings.milvus_uri.endswith(".db"):
        try:
            await stores.vectors.served()
        except DependencyUnavailable as error:
            raise SettingsError(
                f"{error.message} A file of Milvus Lite belongs to one process: stop the service, run this, and start "
                "the service with the new FACE_PACK."
            ) from None


async def _foretell(settings: Settings, stores: _Stores, passes: Passes, patience: Patience) -> int:
    """Print what would be done; create nothing."""
    served = await patience.read(stores.vectors.served)
    serves = await patience.read(stores.vectors.serves)
    if await patience.read(stores.vectors.exists):
        await patience.read(stores.vectors.open)
        async with passes.compared() as snapshot:
            photos, differing = snapshot.photos, snapshot.count_out_of_line()
    else:
        photos, differing = await patience.read(lambda: _count(stores.metadata))
    say(f"the vectors of {differing} of {photos} photos would be stored or removed")
    say(
        f"the alias {settings.milvus_collection!r} would stay"
        if serves
        else f"the alias {settings.milvus_collection!r} would move from {served or 'nothing'}"
    )
    return 0


async def _count(metadata: MetadataStore) -> tuple[int, int]:
    """How many photos there are, and how many of them have an indexed face."""
    photos = indexed = 0
    async for batch in metadata.scan_photos():
        photos += len(batch)
        indexed += sum(any(face.state == "indexed" for face in photo.faces) for photo in batch)
    return photos, indexed


def _summary(report: Report, seconds: float) -> int:
    say(
        f"{report.stored} vectors stored and {report.removed} removed in {report.passes} passes, {seconds:.0f} s "
        f"({report.stored / max(seconds, 1e-3):.1f}/s)"
    )
    for name in report.dropped:
        say(f"the collection {name} was dropped")
    if report.moved:
        say("when no service of the old version runs any more, run it again to include their last writes")
    if report.failures:
        say(f"{len(report.failures)} photos have faces that could not be embedded and are not found:")
        for failure in report.failures[:_EXAMPLES]:
            say(f"  photo {failure.photo_id}: {failure.reason}")
        if len(report.failures) > _EXAMPLES:
            say(f"  and {len(report.failures) - _EXAMPLES} more")
    return 1 if report.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bentos.reembed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--processes", type=at_least_one, metavar="N", help="processes that embed; default: one for each CPU")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add(
        "--remove-old",
        action="store_true",
        help="afterwards drop the collections of other face packs; services that still search them fail",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
