"""Tests with real runner processes that are stopped, killed or overloaded."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from bentos.demo import photos
from tests.system.conftest import KEY, Live, running
from tests.system.marked_images import POISON, SLOW

pytestmark = pytest.mark.system

WATCHED = "tests.system.watched_service:FaceSearch"
TIMED_OUT = 200


@pytest.fixture(scope="module")
def two_runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("two-runners")
    with running(WATCHED, folder, RUNNER_WORKERS="2", DECODED_LOG=str(folder / "decoded")) as live:
        yield live


@pytest.fixture(scope="module")
def selfie() -> bytes:
    return photos.astronaut().read_bytes()


def runners_of(live: Live) -> list[psutil.Process]:
    """The running processes of the runner."""
    found = []
    for process in psutil.Process(live.pid).children(recursive=True):
        try:
            if "face-runner" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


async def searches(live: Live, images: list[bytes], timeout: float = 60) -> list[httpx.Response]:
    """Send all requests at once."""
    limits = httpx.Limits(max_connections=len(images))
    async with httpx.AsyncClient(
        base_url=live.url, headers={"X-Api-Key": KEY}, timeout=timeout, limits=limits
    ) as client:
        return await asyncio.gather(*(client.post("/search/", files={"file": image}) for image in images))


def told(answers: list[httpx.Response]) -> Counter[tuple[int, str]]:
    return Counter((answer.status_code, answer.json().get("error", "results")) for answer in answers)


def wait_for(text: str, log: Path, start: int = 0) -> None:
    deadline = time.monotonic() + 30
    while text not in log.read_text()[start:]:
        assert time.monotonic() < deadline, log.read_text()[start:]
        time.sleep(0.1)


def test_searches_are_answered_while_one_of_two_runners_is_stopped(two_runners: Live, selfie: bytes) -> None:
    assert told(asyncio.run(searches(two_runners, [selfie] * 8))) == {(200, "results"): 8}
    logged = len(two_runners.log.read_text())
    stopped = runners_of(two_runners)[0]
    stopped.suspend()
    try:
        for _ in range(3):
            assert told(asyncio.run(searches(two_runners, [selfie] * 10))) == {(200, "results"): 10}
        wait_for(f"runner process {stopped.pid} does not answer", two_runners.log, logged)
    finally:
        stopped.resume()
    wait_for(f"runner process {stopped.pid} answers again", two_runners.log, logged)
    assert told(asyncio.run(searches(two_runners, [selfie] * 8))) == {(200, "results"): 8}


def test_a_slow_image_does_not_count_as_a_stopped_runner(two_runners: Live, selfie: bytes) -> None:
    logged = len(two_runners.log.read_text())
    assert told(asyncio.run(searches(two_runners, [selfie + SLOW] * 8))) == {(200, "results"): 8}
    assert "does not answer" not in two_runners.log.read_text()[logged:]


@pytest.mark.parametrize(("batch", "fixed_shapes"), [("1", "off"), ("8", "on")])
def test_an_image_that_kills_its_process_kills_only_two_and_other_images_are_answered(
    tmp_path: Path, selfie: bytes, batch: str, fixed_shapes: str
) -> None:
    settings = {
        "RUNNER_WORKERS": "3",
        "RUNNER_MAX_BATCH_SIZE": batch,
        "RUNNER_FIXED_SHAPES": fixed_shapes,
        "RUNNER_TIMEOUT_S": "60",
    }
    with running(WATCHED, tmp_path, DECODED_LOG=str(tmp_path / "decoded"), **settings) as live:
        assert told(asyncio.run(searches(live, [selfie] * 12))) == {(200, "results"): 12}
        before = {process.pid for process in runners_of(live)}
        answers = asyncio.run(searches(live, [selfie + SLOW, selfie + POISON, *[selfie] * 30]))
        assert told(answers) == {(200, "results"): 31, (500, "internal_error"): 1}
        assert answers[1].status_code == 500
        after = {process.pid for process in runners_of(live)}
        assert len(before - after) == 2
        assert "2 runner processes failed at embed_only_face" in live.log.read_text()


@pytest.mark.parametrize(("batch", "fixed_shapes"), [("1", "off"), ("8", "on")])
def test_the_runner_does_no_work_for_requests_that_have_timed_out(
    tmp_path: Path, selfie: bytes, batch: str, fixed_shapes: str
) -> None:
    """Two hundred callers wait at most two seconds, each for one second of work."""
    decoded = tmp_path / "decoded"
    settings = {
        "RUNNER_WORKERS": "1",
        "RUNNER_QUEUE": str(TIMED_OUT),
        "RUNNER_TIMEOUT_S": "2",
        "RUNNER_MAX_BATCH_SIZE": batch,
        "RUNNER_FIXED_SHAPES": fixed_shapes,
    }
    with running(WATCHED, tmp_path, DECODED_LOG=str(decoded), **settings) as live:
        assert told(asyncio.run(searches(live, [selfie]))) == {(200, "results"): 1}
        normal = seconds_of_a_search(live, selfie)
        decoded.write_bytes(b"")
        answers = told(asyncio.run(searches(live, [selfie + SLOW] * TIMED_OUT)))
        first = seconds_of_a_search(live, selfie, times=1)
        begun = len(decoded.read_bytes()) - 1
        print(f"\nbatch {batch}: {answers}; decoded {begun}; a search {normal:.3f} s, then {first:.3f} s")
        assert answers[503, "dependency_unavailable"] > TIMED_OUT * 0.9
        assert answers.total() == answers[503, "dependency_unavailable"] + answers[200, "results"]
        # It waits at most for the image that is being decoded, not for the two hundred seconds of work in the queue.
        assert first <= 3 * normal + 1
        time.sleep(2)
        assert begun == len(decoded.read_bytes()) - 1
        assert begun <= TIMED_OUT / 10
        # The queue is empty again. Few at once: on a busy machine twenty can take longer than the two seconds.
        assert told(asyncio.run(searches(live, [selfie] * 4))) == {(200, "results"): 4}
        with live.client() as client:
            metrics = client.get("/metrics").text
        assert "face_search_runner_in_flight 0.0" in metrics
        assert "face_search_runner_queue 0.0" in metrics


def seconds_of_a_search(live: Live, selfie: bytes, times: int = 5) -> float:
    """The median."""
    taken = []
    with live.client() as client:
        for _ in range(times):
            started = time.perf_counter()
            assert client.post("/search/", files={"file": selfie}).status_code == 200
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)
