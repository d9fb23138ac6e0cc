"""Tests of a runner that makes batches, as on a GPU, with real processes."""

from __future__ import annotations

import asyncio
import io
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from PIL import Image

from bentos.demo import photos
from bentos.demo.embedded import SERVICE
from bentos.domain.faces import BoundingBox
from tests.system.conftest import KEY, Live, running
from tests.system.marked_images import LOSES_GPU
from tests.system.test_runner_faults import WATCHED, runners_of, searches, told
from tests.unit.imaging.image_bombs import oversized_png

pytestmark = pytest.mark.system

CLIENTS, EACH = 32, 6
QUEUE = 64


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One runner process with fixed shapes and batches of up to 32 images, as on a GPU."""
    folder = tmp_path_factory.mktemp("batched")
    settings = {
        "RUNNER_FIXED_SHAPES": "on",
        "RUNNER_MAX_BATCH_SIZE": "32",
        "RUNNER_QUEUE": str(QUEUE),
        "RUNNER_TIMEOUT_S": "60",
        "DECODED_LOG": str(folder / "decoded"),
    }
    with running(WATCHED, folder, **settings) as live:
        yield live


@pytest.fixture(scope="module")
def selfie() -> bytes:
    return photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))


def metric(live: Live, line: str) -> float:
    """The value of a line of /metrics, 0 when it is not there yet."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", httpx.get(live.url + "/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def batch_sizes(live: Live) -> dict[str, float]:
    """How many answers came from batches of at most so many images, by that bound; `sum`: of their sizes."""
    text = httpx.get(live.url + "/metrics").text
    buckets = re.findall(r'^face_search_batch_size_bucket\{le="(\S+)"\} (\S+)$', text, re.MULTILINE)
    return {bound: float(value) for bound, value in buckets} | {
        "sum": metric(live, "face_search_batch_size_sum")
    }


async def by_clients(live: Live, selfie: bytes) -> Counter[tuple[int, str]]:
    """Each client searches several times on a connection of its own, one search after the other."""

    async def one() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=live.url, headers={"X-Api-Key": KEY}, timeout=60) as client:
            return [await client.post("/search/", files={"file": selfie}) for _ in range(EACH)]

    return told(
        [answer for answers in await asyncio.gather(*(one() for _ in range(CLIENTS))) for answer in answers]
    )


def test_images_of_32_clients_are_answered_in_batches_above_one(batched: Live, selfie: bytes) -> None:
    faces, sizes = metric(batched, "face_search_faces_per_image_count"), batch_sizes(batched)
    assert asyncio.run(by_clients(batched, selfie)) == {(200, "results"): CLIENTS * EACH}
    faces = metric(batched, "face_search_faces_per_image_count") - faces
    sizes = {bound: value - sizes.get(bound, 0) for bound, value in batch_sizes(batched).items()}
    total = sizes.pop("sum")
    bounds = [0.0, *map(float, sizes)]
    counts = [after - before for before, after in pairwise([0.0, *sizes.values()])]
    print(
        f"\n{CLIENTS} clients: {CLIENTS * EACH} answers, {total / sum(counts):.1f} images in the batch of the mean one"
    )
    for (low, high), answers in zip(pairwise(bounds), counts, strict=True):
        print(f"{low + 1:>4.0f} to {high:>3.0f} | {int(answers):>4} {'#' * int(answers / 3)}")
    assert sum(counts) == faces == CLIENTS * EACH
    smallest = sum(answers * (low + 1) for low, answers in zip(bounds, counts, strict=False))
    largest = sum(answers * min(high, 32) for high, answers in zip(bounds[1:], counts, strict=True))
    assert smallest <= total <= largest
    assert counts[0] < sum(counts) / 2  # most had company


def test_a_full_queue_refuses_further_images_at_once_and_empties(batched: Live, selfie: bytes) -> None:
    answers = asyncio.run(searches(batched, [selfie] * (4 * QUEUE)))
    counted = told(answers)
    assert counted.keys() == {(200, "results"), (503, "overloaded")}
    assert counted[200, "results"] >= QUEUE
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
    assert metric(batched, "face_search_runner_in_flight") == 0
    assert told(asyncio.run(searches(batched, [selfie] * 20))) == {(200, "results"): 20}


def test_a_process_whose_gpu_is_lost_is_replaced_and_its_images_are_answered_by_the_next(
    batched: Live, selfie: bytes
) -> None:
    before = {process.pid for process in runners_of(batched)}
    answers = asyncio.run(searches(batched, [*[selfie] * 8, selfie + LOSES_GPU]))
    assert told(answers) == {(200, "results"): 9}
    assert not before & {process.pid for process in runners_of(batched)}
    log = batched.log.read_text()
    assert "the networks fail for a blank image too; this process ends" in log
    assert "CUDA failure 700" in log
    assert told(asyncio.run(searches(batched, [selfie] * 20))) == {(200, "results"): 20}


def saved(image: Path, kind: str) -> bytes:
    out = io.BytesIO()
    Image.open(image).save(out, kind)
    return out.getvalue()


def assert_only_broken_images_fail(live: Live) -> None:
    """Send good and bad images at the same time; each has its own answer."""
    group = photos.group_photo().read_bytes()
    sent = {
        "group.jpg": group,
        "cup.png": photos.coffee_cup().read_bytes(),
        "cut.jpg": group[:-5000],
        "bomb.png": oversized_png(30_000, 30_000),
        "moving.gif": saved(photos.astronaut(), "GIF"),
        "empty.jpg": b"",
    }

    def detect(name: str) -> tuple[str, int, str]:
        with live.client() as client:
            answer: httpx.Response = client.post("/detect_faces/", files={"file": sent[name]})
        return name, answer.status_code, answer.json().get("error", "faces")

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(detect, [*sent] * 4)) == {
            ("group.jpg", 200, "faces"),
            ("cup.png", 422, "no_faces_detected"),
            ("cut.jpg", 400, "invalid_image_format"),
            ("bomb.png", 413, "image_too_large"),
            ("moving.gif", 400, "invalid_image_format"),
            ("empty.jpg", 422, "invalid_request"),
        }


def test_images_of_one_batch_get_their_own_answers_and_only_a_broken_one_fails(batched: Live) -> None:
    assert_only_broken_images_fail(batched)


@pytest.mark.parametrize(
    ("transport", "fixed_shapes"), [("socket", "off"), ("bentoml", "off"), ("bentoml", "on")]
)
def test_the_same_with_the_other_ways_to_make_batches(
    tmp_path: Path, transport: str, fixed_shapes: str
) -> None:
    settings = {"RUNNER_MAX_BATCH_SIZE": "8", "RUNNER_WORKERS": "1", "RUNNER_TRANSPORT": transport}
    settings["RUNNER_FIXED_SHAPES"] = fixed_shapes
    with running(SERVICE, tmp_path, **settings) as live:
        assert_only_broken_images_fail(live)
        metrics = httpx.get(live.url + "/metrics").text
        sizes = batch_sizes(live)
    assert f'runner_transport{{adaptive_batching="on",transport="{transport}"}} 1.0' in metrics
    assert sizes["+Inf"] >= 12  # the API refuses some files by itself
    assert sizes["1.0"] < sizes["+Inf"]  # some were put together
