"""The same behaviour over both transports to the runner, with real processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.system.conftest import KEY, Live, running
from tests.system.marked_images import POISON, SLOW
from tests.system.real.stack import eventually

pytestmark = pytest.mark.system

WATCHED = "tests.system.watched_service:FaceSearch"
QUEUE = 6


@pytest.fixture(scope="module")
def selfie() -> bytes:
    return photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))


@pytest.fixture(scope="module", params=["socket", "bentoml"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def served(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The all-in-one over this transport, with one photo indexed and a short queue."""
    folder = tmp_path_factory.mktemp(transport)
    settings = {
        "RUNNER_TRANSPORT": transport,
        "RUNNER_QUEUE": str(QUEUE),
        "RUNNER_WORKERS": "2",
        "DECODED_LOG": str(folder / "decoded"),
    }
    with running(WATCHED, folder, **settings) as live:
        with live.client() as client:
            photo = client.post("/detect_faces/", files={"file": photos.astronaut().read_bytes()}).json()
            client.put("/add_face/", data={"face_id": photo["faces"][0]["face_id"]}).raise_for_status()
        yield live


async def searches(live: Live, images: list[bytes]) -> list[httpx.Response]:
    """All at once."""
    limits = httpx.Limits(max_connections=len(images))
    async with httpx.AsyncClient(
        base_url=live.url, headers={"X-Api-Key": KEY}, timeout=60, limits=limits
    ) as client:
        return await asyncio.gather(*(client.post("/search/", files={"file": image}) for image in images))


def told(answers: list[httpx.Response]) -> Counter[tuple[int, str]]:
    return Counter((answer.status_code, answer.json().get("error", "results")) for answer in answers)


def test_the_transport_in_use_is_a_metric_and_a_line_of_log(served: Live, transport: str) -> None:
    metrics = httpx.get(served.url + "/metrics").text
    line = f'face_search_runner_transport{{adaptive_batching="off",transport="{transport}"}} 1.0'
    assert line in metrics
    assert f"runner transport: {transport}; BentoML's adaptive batching: off" in served.log.read_text()


def test_a_selfie_finds_its_photo(served: Live, selfie: bytes) -> None:
    with served.client() as client:
        answer = client.post("/search/", files={"file": selfie}).json()
    assert answer["results"][0]["score"] > 0.8


def test_an_error_that_the_runner_finds_keeps_its_name(served: Live) -> None:
    with served.client() as client:
        broken = client.post("/search/", files={"file": b"no image"})
        cut = client.post("/detect_faces/", files={"file": photos.group_photo().read_bytes()[:60_000]})
        faceless = client.post("/search/", files={"file": photos.coffee_cup().read_bytes()})
    assert (broken.status_code, broken.json()["error"]) == (400, "invalid_image_format")
    assert (cut.status_code, cut.json()["error"]) == (400, "invalid_image_format")
    assert (faceless.status_code, faceless.json()["error"]) == (422, "no_faces_detected")


def test_what_exceeds_the_queue_is_refused_and_the_rest_is_answered(served: Live, selfie: bytes) -> None:
    answers = told(asyncio.run(searches(served, [selfie + SLOW] * (3 * QUEUE))))
    assert set(answers) == {(200, "results"), (503, "overloaded")}
    assert answers[200, "results"] >= QUEUE
    eventually(
        lambda: told(asyncio.run(searches(served, [selfie] * QUEUE))) == {(200, "results"): QUEUE},
        "the new processes answer",
    )
    metrics = httpx.get(served.url + "/metrics").text
    assert "face_search_runner_in_flight 0.0" in metrics


def test_each_of_many_callers_gets_its_own_answer(served: Live) -> None:
    sent = {
        "group": photos.group_photo().read_bytes(),
        "cup": photos.coffee_cup().read_bytes(),
        "cut": photos.group_photo().read_bytes()[:-5000],
    }

    def detect(name: str) -> tuple[str, int, str]:
        with served.client() as client:
            answer = client.post("/detect_faces/", files={"file": sent[name]})
        return name, answer.status_code, answer.json().get("error", "faces")

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(detect, [*sent] * 4))
    assert answers == {
        ("group", 200, "faces"),
        ("cup", 422, "no_faces_detected"),
        ("cut", 400, "invalid_image_format"),
    }


def test_an_image_that_kills_its_process_is_refused_and_the_next_ones_are_answered(
    served: Live, selfie: bytes, transport: str
) -> None:
    """Last, because it ends processes. Only the socket knows which image it was; the other asks to try again."""
    [killer] = asyncio.run(searches(served, [selfie + POISON]))
    expected = {"socket": (500, "internal_error"), "bentoml": (503, "dependency_unavailable")}
    assert (killer.status_code, killer.json()["error"]) == expected[transport]
    assert "2 runner processes failed at embed_only_face" in served.log.read_text()
    eventually(
        lambda: told(asyncio.run(searches(served, [selfie] * QUEUE))) == {(200, "results"): QUEUE},
        "the new processes answer",
    )
