"""`python -m tests.bulk`: measures bulk indexing on real servers, and interrupts it in every way.

Photos with 1 to 12 faces, 6 on average, are put into the bucket. Then: the rates of the pipeline alone, of bulk
indexing here and through the service, and of one call a face; a run killed five times, with spoiled files; and a run
without each store for a while. Exit status 1 when something is lost or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bench.ceiling import measure_ceiling
from bench.search_form import never_the_same
from bentos.client import FaceSearch, Retries
from bentos.config.settings import Settings
from bentos.runner.cpus import available_cpus
from seed.face_images import group
from tests.bulk.runs import SPOILED, BulkRuns, contents, interrupted, reasons
from tests.system.real.mortal import TwoFaces
from tests.system.real.stack import KEY, Stack, disagreements, running_stack

DIFFERENT = 200
"""Photos that are made; more are the same pixels in other files."""
CLIENTS = 16
KILLS = 5
CEILING_S = 12
LARGE = 3


class Check:
    def __init__(self, stack: Stack, folder: Path, made: list[bytes]) -> None:
        self.stack, self.runs, self.made = stack, BulkRuns(stack, folder), made
        self.right = True

    def photos(self, prefix: str, count: int) -> dict[str, bytes]:
        files = never_the_same(self.made)
        photos = {f"{prefix}{number:06d}": next(files) for number in range(count)}
        self.runs.put(photos)
        return photos

    def rates(self, photos: int, sample: int) -> None:
        """The pipeline alone before and after, so that a machine that changes its speed is seen."""
        before = self.ceiling()
        rate = self.bulk("bulk-", photos)
        after = self.ceiling()
        mean = (before + after) / 2
        print(
            f"bulk / pipeline alone: {rate / mean:.2f} ({rate:.1f} of {before:.1f} and {after:.1f} photos/s)"
        )
        through = self.bulk("through-", sample, through_service=True)
        last = self.ceiling()
        print(f"through the service / pipeline alone: {through / ((after + last) / 2):.2f}")
        self.one_call_a_face("single-", max(CLIENTS, sample // 4))

    def ceiling(self) -> float:
        settings, processes = Settings(), available_cpus()
        found = measure_ceiling(
            self.made[:40], settings, processes=processes, seconds=CEILING_S, work="index"
        )
        print(f"pipeline alone: {found.rps:.2f} photos/s, {found.cpu_ms:.0f} ms of CPU a photo", flush=True)
        return found.rps

    def bulk(self, prefix: str, count: int, *, through_service: bool = False) -> float:
        """Photos per second between the first and the last line of the report."""
        self.photos(prefix, count)
        run = self.runs.start(prefix, through_service=through_service)
        run.wait_for(lambda: len(run.lines) > 0, "the first photo is reported")
        begun, first = time.monotonic(), len(run.lines)
        self.expect(run.end() == 0, f"{prefix} ended with an error")
        seconds = time.monotonic() - begun
        faces = sum(line.get("indexed", 0) for line in run.lines)
        rate = (count - first) / seconds
        print(
            f"{prefix} {count} photos, {faces} faces: {rate:.2f} photos/s, {rate * faces / count:.1f} faces/s"
        )
        return rate

    def one_call_a_face(self, prefix: str, count: int) -> None:
        """As before `index=true`: detect each photo, then add each of its faces."""
        names = list(self.photos(prefix, count))
        with FaceSearch(self.stack.vectorizer.url, KEY, retries=Retries(attempts=20)) as client:

            def index(photo_id: str) -> int:
                photo = client.detect_faces(photo_id=photo_id, collection_id=prefix.rstrip("-"))
                for face in photo.faces:
                    client.add_face(face.face_id)
                return len(photo.faces)

            begun = time.monotonic()
            with ThreadPoolExecutor(CLIENTS) as clients:
                faces = sum(clients.map(index, names))
            seconds = time.monotonic() - begun
        print(
            f"one call a face, {CLIENTS} clients: {count / seconds:.2f} photos/s, {faces / seconds:.1f} faces/s"
        )

    async def killed(self, photos: int, spoiled: int) -> None:
        expected = {}
        for prefix in ("killed-", "whole-"):
            self.photos(prefix, photos)
            bad = {f"bad-{number:04d}": _spoiled(number) for number in range(spoiled)}
            self.runs.put({prefix + name: image for name, (image, _) in bad.items()})
            expected = {name: reason for name, (_, reason) in bad.items()}
        whole = self.runs.start("whole-")
        self.expect(whole.end() == 1, "the uninterrupted run did not report failures")
        run = self.runs.start("killed-")
        for _ in range(KILLS):
            run.kill_after(photos // (KILLS + 1))
            print(f"killed after {len(run.lines) - run.lines_before} lines of its own", flush=True)
            run = self.runs.start("killed-")
        self.expect(run.end() == 1, "the last run did not report failures")
        for prefix, bulk in (("whole-", whole), ("killed-", run)):
            found = reasons(bulk.lines, prefix)
            self.expect(found == expected, f"{prefix}: the reasons are {Counter(found.values())}")
        print(f"{spoiled} spoiled files: {Counter(expected.values())}, each with its reason in both reports")
        await self.same("killed-", "whole-", photos)

    async def without_stores(self, photos: int, seconds: float) -> None:
        self.photos("away-", photos)
        servers = self.stack.servers
        run = self.runs.start("away-")
        stores = {"milvus": servers.milvus, "postgrest": servers.postgrest, "object_store": servers.s3}
        for number, (name, server) in enumerate(stores.items()):
            interrupted(run, server, name, after=5 + number * photos // 4, seconds=seconds, stop=True)
            print(f"{name} was stopped for {seconds:.0f} s after {len(run.lines)} photos", flush=True)
        self.expect(run.end() == 0, "a photo failed")
        async with self.stack.dependencies(TwoFaces()) as dependencies:
            found = await contents(dependencies, "away-")
            states = Counter(state for faces in found.values() for _, state in faces)
            self.expect(
                len(found) == photos and states.keys() == {"indexed"}, f"{len(found)} photos, {states}"
            )
            self.expect(await disagreements(dependencies) == {}, "the stores disagree")

    async def same(self, one: str, other: str, photos: int) -> None:
        async with self.stack.dependencies(TwoFaces()) as dependencies:
            mine, theirs = await contents(dependencies, one), await contents(dependencies, other)
            self.expect(len(mine) == photos and mine == theirs, f"{one} and {other} differ")
            self.expect(await disagreements(dependencies) == {}, "the stores disagree")

    def expect(self, true: bool, what: str) -> None:
        self.right = self.right and true
        if not true:
            print(f"WRONG: {what}", flush=True)


def _spoiled(number: int) -> tuple[bytes, str]:
    """Three of them are large, the others take turns."""
    small = [kind for name, kind in SPOILED.items() if name != "large"]
    return SPOILED["large"] if number < LARGE else small[number % len(small)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bulk", description=__doc__)
    add = parser.add_argument
    add("--photos", type=int, default=2000, help="of the measured run")
    add(
        "--sample",
        type=int,
        default=300,
        help="photos of the run through the service and of the interrupted runs",
    )
    add("--spoiled", type=int, default=300, help="files among them that are no photos")
    add("--away", type=float, default=30, metavar="S", help="how long each store is away")
    add("--parts", default="rates,killed,away", help="which parts to run")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are stopped
    folder = Path(tempfile.mkdtemp(prefix="bulk-check-"))
    folder.chmod(0o755)
    print(f"logs and reports in {folder}\nmaking photos ...", flush=True)
    with get_context("spawn").Pool(available_cpus()) as makers:
        made = [image.jpeg for image in makers.map(group, range(min(DIFFERENT, options.photos)))]
    with running_stack(folder) as stack:
        check = Check(stack, folder, made)
        if "rates" in options.parts:
            check.rates(options.photos, options.sample)
        if "killed" in options.parts:
            asyncio.run(check.killed(options.sample, options.spoiled))
        if "away" in options.parts:
            asyncio.run(check.without_stores(options.sample, options.away))
    print("passed" if check.right else "FAILED")
    return 0 if check.right else 1


if __name__ == "__main__":
    sys.exit(main())
