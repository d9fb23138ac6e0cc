"""`python -m bentos.audit [--fix]`: compares the three stores and reports differences; --fix repairs them.

An image without a photo record is a difference only when its photo was purged: its upload ended after the purge, and
--fix deletes the image. Any other image without a record is counted and not changed, because the bucket may hold
images that were never sent to /detect_faces/. If an operator stores an image under the id of a purged photo, that
photo_id has to be sent to /detect_faces/ before --fix runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from tqdm import tqdm

from bentos.audit.reading import read_stores
from bentos.audit.repair import Repair, WrongStores
from bentos.audit.snapshot import Kind, Snapshot
from bentos.composition import Dependencies
from bentos.config.loading import load_settings
from bentos.config.settings import Settings, SettingsError
from bentos.domain.errors import FaceSearchError
from bentos.jobs.progress import say
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import LocalFaceFinder, extraction_of
from bentos.vectorizer.wiring import indexing_of

_EXAMPLES = 3


def main() -> int:
    """Run the command line. Returns 0 when the stores agree (after --fix), 1 when not, 2 on an error."""
    options = parser().parse_args()
    try:
        return asyncio.run(_audit(load_settings("image-vectorizer"), options))
    except (SettingsError, WrongStores) as error:
        say(str(error))
    except FaceSearchError as error:
        say(error.message)
    except KeyboardInterrupt:
        say("stopped; run it again to continue")
    return 2


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    options = argparse.ArgumentParser(prog="python -m bentos.audit", description=__doc__)
    options.add_argument(
        "--fix", action="store_true", help="repair differences; the metadata are authoritative"
    )
    options.add_argument(
        "--confirm",
        action="store_true",
        help="if there are differences, compare again after LEASE_S and count only those that are still there;"
        " so requests in progress are not reported",
    )
    options.add_argument(
        "--examples", type=int, default=_EXAMPLES, help="how many differences of each kind to print"
    )
    return options


async def _audit(settings: Settings, options: argparse.Namespace) -> int:
    folder = face_pack_folder(settings.face_pack)
    finder = LocalFaceFinder(extraction_of(folder, settings))
    dependencies = Dependencies(settings, finder, PackInfo.read(folder))
    stores = (dependencies.metadata, dependencies.vectors, dependencies.images)
    try:
        for store in stores:
            await store.open()
        differences = await _compare(dependencies, options, fix=options.fix)
        if differences and options.fix:
            say("\ncomparing again ...")
            differences = await _compare(dependencies, options, fix=False)
        return 1 if differences else 0
    finally:
        for store in stores:
            await store.close()


async def _compare(dependencies: Dependencies, options: argparse.Namespace, *, fix: bool) -> int:
    """Compare the stores, report, record the result for the metrics. Returns the number of differences."""
    with tempfile.TemporaryDirectory(prefix="audit-") as folder, ExitStack() as opened:
        snapshot = opened.enter_context(Snapshot(Path(folder) / "snapshot.db"))
        await read_stores(dependencies, snapshot)
        if options.confirm and any(snapshot.count(kind) for kind in Kind):
            await asyncio.sleep(dependencies.settings.lease_s)
            earlier, snapshot = snapshot, opened.enter_context(Snapshot(Path(folder) / "again.db"))
            await read_stores(dependencies, snapshot)
            snapshot.confirm(earlier)
        counted = {kind.name.lower(): snapshot.count(kind) for kind in Kind}
        _report(snapshot, options.examples)
        await dependencies.metadata.record_audit(photos=snapshot.photos, differences=counted)
        if fix and any(counted.values()):
            await _repair(dependencies, snapshot)
        return sum(counted.values())


def _report(snapshot: Snapshot, examples: int) -> None:
    total = 0
    for kind in Kind:
        count = snapshot.count(kind)
        total += count
        if count:
            say(f"{count:>8}  {kind.title}")
            for finding in snapshot.findings(kind, examples):
                say(
                    f"          photo {finding.photo_id}"
                    + (f", face {finding.face_id}" if finding.face_id else "")
                )
    if snapshot.unrecorded_images:
        say(
            f"{snapshot.unrecorded_images:>8}  images were never sent to /detect_faces/; they are not changed"
        )
    if not total:
        say(f"the three stores agree on {snapshot.photos} photos")


async def _repair(dependencies: Dependencies, snapshot: Snapshot) -> None:
    indexing, removal = indexing_of(dependencies)
    repair = Repair(
        indexing=indexing,
        removal=removal,
        metadata=dependencies.metadata,
        vectors=dependencies.vectors,
    )
    repair.refuse_wrong_stores(snapshot)
    for kind in Kind:
        with tqdm(
            desc=f"repairing {kind.title}", total=snapshot.count(kind), disable=None, leave=False
        ) as bar:
            for _, group in groupby(snapshot.findings(kind), key=lambda finding: finding.photo_id):
                findings = list(group)
                await repair.repair(kind, findings)
                bar.update(len(findings))


if __name__ == "__main__":
    sys.exit(main())
