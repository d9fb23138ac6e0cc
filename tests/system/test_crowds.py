"""Tests that photos with very many faces do not delay other callers."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.crowds import crowd
from tests.system.conftest import KEY, TARGETS, Live, running
from tests.system.process_memory import watched

pytestmark = [pytest.mark.system, pytest.mark.slow]

ATTACKERS = 6
ATTACK_S = float(os.environ.get("ATTACK_SECONDS", "8"))
QUIET_S = min(ATTACK_S, 8)
POD_MB = 3 * 1024
ROUNDS = 6
"""Repetitions: other work on the machine may delay one round; a fault of the service would delay each."""
FACES = 1024


@dataclass
class Caller:
    """Searches ten times per second, one search after the other."""

    url: str
    selfie: bytes
    seconds: list[float] = field(default_factory=list)
    told: Counter[tuple[int, str]] = field(default_factory=Counter)

    async def search_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=self.url, headers={"X-Api-Key": KEY}, timeout=60) as client:
            while time.monotonic() < until:
                started = time.perf_counter()
                answer = await client.post("/search/", files={"file": self.selfie})
                self.seconds.append(time.perf_counter() - started)
                self.told[answer.status_code, answer.json().get("error", "results")] += 1
                await asyncio.sleep(0.1)

    def ms(self, percent: int) -> float:
        """A percentile of the time of a search, ms."""
        return 1000 * statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


async def repeat(url: str, image: bytes, seconds: float) -> Counter[tuple[int, str]]:
    """Search with the same image repeatedly; returns the statuses."""
    told: Counter[tuple[int, str]] = Counter()
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, headers={"X-Api-Key": KEY}, timeout=60) as client:
        while time.monotonic() < until:
            answer = await client.post("/search/", files={"file": image})
            told[answer.status_code, answer.json().get("error", "results")] += 1
    return told


async def attacked(url: str, image: bytes, caller: Caller) -> Counter[tuple[int, str]]:
    attackers = [asyncio.create_task(repeat(url, image, ATTACK_S)) for _ in range(ATTACKERS)]
    await caller.search_for(ATTACK_S)
    return sum(await asyncio.gather(*attackers), Counter())


@pytest.fixture(scope="module")
def selfie() -> bytes:
    return photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))


@pytest.fixture(scope="module")
def two_runners(tmp_path_factory: pytest.TempPathFactory, selfie: bytes) -> Iterator[Live]:
    with running(TARGETS["face-search"], tmp_path_factory.mktemp("crowds"), RUNNER_WORKERS="2") as live:
        warm_up = Caller(live.url, selfie)
        asyncio.run(warm_up.search_for(2))
        yield live


def test_six_callers_who_repeat_a_crowd_do_not_delay_another_caller(two_runners: Live, selfie: bytes) -> None:
    image = crowd(20, 20, cell=100, quality=85)
    for _ in range(ROUNDS):
        before, during, after = (Caller(two_runners.url, selfie) for _ in range(3))
        with watched(two_runners.pid) as quiet:
            asyncio.run(before.search_for(QUIET_S))
        with watched(two_runners.pid) as peak:
            told = asyncio.run(attacked(two_runners.url, image, during))
            asyncio.run(after.search_for(1))
        memory = [sum(each.memory.values()) for each in (quiet, peak)]
        print(
            f"\n| {len(image) / 1e6:.1f} MB, 400 faces, {ATTACKERS} callers, {ATTACK_S:g} s: {dict(told)} "
            f"| {dict(during.told)} | {before.ms(50):.0f} / {before.ms(95):.0f} -> {during.ms(50):.0f} / "
            f"{during.ms(95):.0f} ms | {1000 * after.seconds[0]:.0f} ms | {memory[0]} -> {memory[1]} MiB |"
        )
        assert set(told) <= {(422, "too_many_faces"), (503, "overloaded")}
        assert set(during.told) <= {(200, "results"), (503, "overloaded")}
        assert memory[1] <= 1.5 * memory[0]
        bound = 3 * before.ms(95) + 200
        if max(during.ms(95), 1000 * after.seconds[0]) <= bound:
            break
    assert during.ms(95) <= bound
    assert 1000 * after.seconds[0] <= bound


def test_a_crowd_is_refused_with_the_hundred_best_boxes_and_the_total_number(two_runners: Live) -> None:
    with two_runners.client() as client:
        refused = client.post("/search/", files={"file": crowd(20, 20, cell=100, quality=85)})
    assert (refused.status_code, refused.json()["error"]) == (422, "too_many_faces")
    details = refused.json()["details"]
    assert 0 < len(details["faces"]) <= 100
    assert details["count"] > 300


def test_a_photo_of_a_thousand_faces_is_detected_and_added_within_the_memory_of_a_pod(tmp_path: Path) -> None:
    image = crowd(32, 32, cell=80)
    settings = {"DETECTION_SIZE": "1280", "RUNNER_TIMEOUT_S": "60"}
    with (
        running(TARGETS["face-search"], tmp_path, **settings) as live,
        watched(live.pid) as peak,
        live.client(timeout=120) as client,
    ):
        answer = client.post("/detect_faces/", files={"file": image})
        again = client.post("/detect_faces/", files={"file": image})
        photo = answer.json()
        added = [
            client.put("/add_face/", data={"face_id": face["face_id"]})
            for face in (photo["faces"][0], photo["faces"][-1])
        ]
        status = client.get("/embed_status/?limit=1").json()["items"][0]
    memory = sum(peak.memory.values())
    print(f"\n{len(photo['faces'])} faces, {photo['faces_left_out']} left out; {peak.memory}, {memory} MiB")
    assert [each.status_code for each in (answer, *added)] == [200, 200, 200]
    assert 900 <= len(photo["faces"]) <= 1000
    assert photo["faces_left_out"] == FACES - 1000
    assert again.json() == photo
    assert status["faces_detected"] == len(photo["faces"])
    assert status["faces_indexed"] == 2
    assert memory < POD_MB
