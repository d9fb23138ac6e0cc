"""Runs the whole change, forward and back, and kills the job twice meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pymilvus import MilvusClient

from tests.swap.job import Job
from tests.swap.packs import NEW, OLD, ROOT, model_home, pack_in
from tests.swap.traffic import Rates, Traffic
from tests.swap.version import KEY, Counts, Version, version

ALIAS = "swap_faces"
REFUSED = "milvus: built with another face pack"
COMMAND = "python -m bentos.reembed"


@dataclass
class Outcome:
    """The result of the scenario; `figures` are printed."""

    counts: Counts
    audit: str = ""
    figures: list[str] = field(default_factory=list)


@dataclass
class Swap:
    """`environment` has the settings of the stores. `photos` are indexed first; traffic runs `linger_s` per stage."""

    environment: dict[str, str]
    folder: Path
    photos: int
    rates: Rates
    linger_s: float
    back: bool
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._home = model_home(self.folder)
        self._log = self.folder / "reembed.log"
        self._begun = time.monotonic()
        self._new_collection = f"{ALIAS}_{pack_in(self._home, NEW).fingerprint[:12]}_512"

    async def run(self) -> Outcome:
        counts = Counts()
        outcome = Outcome(counts)
        traffic = Traffic(self.rates, smallest_base=self.photos * 2 // 3)
        timeout = aiohttp.ClientTimeout(90)
        begun = time.monotonic()
        async with aiohttp.ClientSession(headers={"X-Api-Key": KEY}, timeout=timeout) as session:
            with version("old", self.settings(OLD), self.folder, session, counts) as old:
                await old.ready()
                with version("new", self.settings(NEW), self.folder, session, counts) as new:
                    await self._seed(traffic, old, outcome)
                    traffic.versions.append(old)
                    async with traffic.running():
                        await self._forward(traffic, old, new, outcome)
                    await self._finish(traffic, new, outcome)
            if self.back:
                await self._back(traffic, session, outcome)
        self._note(
            outcome,
            f"{sum(counts.sent.values())} requests in {time.monotonic() - begun:.0f} s: "
            + ", ".join(f"{kind} {number}" for kind, number in sorted(counts.sent.items())),
        )
        return outcome

    def settings(self, pack: str) -> dict[str, str]:
        """The environment of the services and the job of one version."""
        return {
            **self.environment,
            "API_KEY": KEY,
            "BENTOML_HOME": str(self._home),
            "FACE_PACK": pack,
            "MILVUS_COLLECTION": ALIAS,
            "RUNNER_WORKERS": "1",
            "DETECTION_SIZE": "320",
            "SHUTDOWN_DELAY_S": "0",
        }

    async def _seed(self, traffic: Traffic, old: Version, outcome: Outcome) -> None:
        begun = time.monotonic()
        await traffic.seed(old, self.photos)
        self._note(outcome, f"{len(traffic.photos)} photos added in {time.monotonic() - begun:.0f} s")
        await traffic.check_all(old)

    async def _forward(self, traffic: Traffic, old: Version, new: Version, outcome: Outcome) -> None:
        await new.refused(REFUSED)
        assert new.has_logged(COMMAND)
        for share in (1, 2):
            job = Job(self.settings(NEW), self._log, "--processes", "1")
            with contextlib.closing(_Killed(job)):
                at = await job.killed_at(share * self.photos // 3, self._stored)
            self._note(outcome, f"the job was killed with {at} vectors stored")
            if job.has_moved:
                self._note(outcome, "which was after it had moved the alias")
                break
            await new.refused(REFUSED)
        await self._job(NEW, outcome)
        await new.ready()
        traffic.versions.append(new)
        self._note(outcome, "the new services became ready automatically; both versions get requests")
        await asyncio.sleep(self.linger_s)
        await traffic.leave(old)
        await self._job(NEW, outcome)

    async def _finish(self, traffic: Traffic, new: Version, outcome: Outcome) -> None:
        await traffic.finish_joining(new)
        traffic.settled = True
        await traffic.check_all(new)
        there, gone = len(traffic.those("there")), len(traffic.those("gone"))
        self._note(outcome, f"searched for every photo with the new version: {there} there, {gone} removed")
        audit = await asyncio.to_thread(self._audit)
        outcome.audit = audit.stdout + audit.stderr

    async def _back(self, traffic: Traffic, session: aiohttp.ClientSession, outcome: Outcome) -> None:
        await self._job(OLD, outcome)
        with version("back", self.settings(OLD), self.folder, session, outcome.counts) as again:
            await again.ready()
            await traffic.check_all(again)
        await self._job(NEW, outcome, "--remove-old")
        self._note(outcome, "went back to the old version and forward again; the old collection was dropped")

    async def _job(self, pack: str, outcome: Outcome, *arguments: str) -> None:
        job = Job(self.settings(pack), self._log, "--processes", "1", *arguments)
        with contextlib.closing(_Killed(job)):
            status = await job.ended()
        said = job.said()
        assert status == 0, said
        self._note(outcome, next(line for line in said.splitlines() if " passes, " in line))

    def _stored(self) -> int:
        """How many vectors the new collection has; 0 while it is not loaded."""
        with contextlib.closing(MilvusClient(self.environment["MILVUS_URI"], timeout=20)) as client:
            if client.get_load_state(self._new_collection)["state"].name != "Loaded":
                return 0
            (row,) = client.query(
                self._new_collection,
                filter="",
                output_fields=["count(*)"],
                consistency_level="Strong",
            )
            return int(row["count(*)"])

    def _audit(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bentos.audit"],
            cwd=ROOT,
            env={**os.environ, **self.settings(NEW)},
            capture_output=True,
            text=True,
            check=False,
        )

    def _note(self, outcome: Outcome, line: str) -> None:
        outcome.figures.append(line)
        self.say(f"{time.monotonic() - self._begun:4.0f} s  {line}")


class _Killed:
    """A job that is killed at the end of the block."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def close(self) -> None:
        self._job.kill()
