"""Tests of `bentoml serve` in the repository root: real processes, the real transport between service and runner."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.system.conftest import KEY, Live

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SECONDS_OF_LOAD = float(os.environ.get("SECONDS_OF_LOAD", "6"))
BENTOML_ROUTES = [
    "/docs.json",
    "/schema.json",
    "/static_content/index.css",
    "/assets/x.js",
    "/detect",
    "/",
    "/docs",
    "/openapi.json",
]


@pytest.fixture(scope="module")
def selfie() -> bytes:
    return photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))


@pytest.fixture(scope="module", autouse=True)
def _indexed(live: Live) -> None:
    with live.client() as client:
        photo = client.post("/detect_faces/", files={"file": photos.astronaut().read_bytes()}).json()
        added = client.put("/add_face/", data={"face_id": photo["faces"][0]["face_id"]})
        assert added.status_code == 200, added.text


@pytest.mark.parametrize("path", BENTOML_ROUTES)
def test_every_route_of_bentoml_and_fastapi_requires_a_key(live: Live, path: str) -> None:
    response = httpx.get(live.url + path)
    assert (response.status_code, response.json()["error"]) == (401, "invalid_api_key")


def test_the_log_of_a_start_on_embedded_stores_has_no_stack_trace(live: Live) -> None:
    log = live.log.read_text()
    assert "milvus is open" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_the_probes_need_no_key(live: Live, path: str) -> None:
    assert httpx.get(live.url + path).status_code == 200


def test_openapi_describes_the_endpoints_and_their_errors(live: Live) -> None:
    with live.client() as client:
        document = client.get("/openapi.json").json()
    paths = {
        "/detect_faces/",
        "/add_face/",
        "/embed_status/",
        "/embed_status/{photo_id}",
        "/remove/{photo_id}",
        "/remove_all/",
        "/search/",
        "/ping",
    }
    assert set(document["paths"]) == paths
    search = document["paths"]["/search/"]["post"]["responses"]
    assert set(search) == {"200", "400", "401", "404", "413", "422", "500", "503", "504"}
    examples = search["422"]["content"]["application/json"]["examples"]
    assert set(examples) == {"no_faces_detected", "too_many_faces", "invalid_request"}


def test_a_selfie_finds_its_photo_with_real_processes(live: Live, selfie: bytes) -> None:
    with live.client() as client:
        answer = client.post("/search/", files={"file": selfie}).json()
    assert answer["results"][0]["score"] > 0.8


def test_an_error_of_the_runner_keeps_its_code(live: Live) -> None:
    with live.client() as client:
        broken = client.post("/search/", files={"file": b"no image"})
        cut = client.post("/detect_faces/", files={"file": photos.group_photo().read_bytes()[:60_000]})
    assert (broken.status_code, broken.json()["error"]) == (400, "invalid_image_format")
    assert (cut.status_code, cut.json()["error"]) == (400, "invalid_image_format")


def test_metrics_contain_no_id(live: Live) -> None:
    with live.client() as client:
        client.delete("/remove/a-photo-that-is-not-there")
    text = httpx.get(live.url + "/metrics").text
    assert "a-photo-that-is-not-there" not in text
    assert 'route="/remove/{photo_id}"' in text


def test_the_log_contains_ids_and_neither_keys_nor_images(live: Live, selfie: bytes) -> None:
    with live.client() as client:
        client.post("/search/", files={"file": selfie}, headers={"X-Request-Id": "find-me-in-the-log"})
    time.sleep(0.5)
    log = live.log.read_text()
    assert "find-me-in-the-log" in log
    assert KEY not in log


@pytest.mark.slow
def test_32_clients_at_once_get_no_5xx(live: Live, selfie: bytes) -> None:
    statuses = asyncio.run(_load(live.url, selfie, clients=32, seconds=SECONDS_OF_LOAD))
    assert statuses.total() > 32
    assert {status for status in statuses if status != 200} == set(), statuses


async def _load(url: str, selfie: bytes, *, clients: int, seconds: float) -> Counter[int]:
    statuses: Counter[int] = Counter()
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(
        base_url=url, headers={"X-Api-Key": KEY}, timeout=60, limits=limits
    ) as client:

        async def call_repeatedly() -> None:
            while time.monotonic() < until:
                response = await client.post("/search/", files={"file": selfie})
                statuses[response.status_code] += 1

        await asyncio.gather(*(call_repeatedly() for _ in range(clients)))
    return statuses


@pytest.mark.parametrize(
    ("environment", "named"),
    [({"MILVUS_URI": ""}, "MILVUS_URI"), ({"EMBEDDING_DIM": "128"}, "EMBEDDING_DIM")],
    ids=["a setting", "the pack"],
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(
    environment: dict[str, str], named: str, tmp_path: Path
) -> None:
    """Of a bare `bentoml serve`; `test_refused_start.py` has more reasons, under `bentos.serving`."""
    good = {
        "API_KEY": KEY,
        "MILVUS_URI": str(tmp_path / "v.db"),
        "POSTGREST_URL": f"sqlite:///{tmp_path}/m.db",
        "S3_ENDPOINT_URL": f"file://{tmp_path}/i",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **good, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_process_is_left_when_a_service_is_stopped(tmp_path: Path) -> None:
    from bentos.demo.embedded import SERVICE, embedded_environment
    from bentos.demo.process import serving

    with serving(SERVICE, embedded_environment(tmp_path, KEY), log=tmp_path / "log") as service:
        family = [
            psutil.Process(service.process.pid),
            *psutil.Process(service.process.pid).children(recursive=True),
        ]
        assert len(family) > 2
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_the_command_face_search_indexes_searches_lists_and_removes(
    live: Live, selfie: bytes, tmp_path: Path
) -> None:
    (tmp_path / "selfie.jpg").write_bytes(selfie)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    collection = ["--collection", "by-command"]

    def run(*arguments: str | Path, key: str = KEY) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FACE_SEARCH_URL": live.url, "FACE_SEARCH_API_KEY": key}
        program = [sys.executable, "-m", "bentos.client.command", *map(str, arguments)]
        return subprocess.run(program, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    indexed = run("index", photos.group_photo(), tmp_path / "bad.jpg", photos.astronaut(), *collection)
    assert indexed.returncode == 1, indexed.stderr
    assert [line.count("faces indexed") for line in indexed.stdout.splitlines()] == [1, 0, 1]
    assert "invalid_image_format" in indexed.stdout
    found = run("search", tmp_path / "selfie.jpg", *collection, "--json")
    assert found.returncode == 0, found.stderr
    (match,) = json.loads(found.stdout)["results"]
    again = run("search", "--face-id", match["face_id"], *collection)
    assert match["photo_id"] in again.stdout
    assert "1 to 2 of 2 photos" in run("status", *collection).stdout
    assert match["face_id"] in run("status", match["photo_id"]).stdout
    removed = run("remove", match["photo_id"])
    assert (removed.returncode, removed.stdout) == (0, f"{match['photo_id']}: 1 faces removed\n")
    assert "no photo with a score" in run("search", tmp_path / "selfie.jpg", *collection).stdout
    assert json.loads(run("remove", "--all", *collection, "--json").stdout)["faces_removed"] == 6
    refused = run("search", photos.group_photo())
    assert (refused.returncode, refused.stderr.startswith("too_many_faces: ")) == (1, True)
    wrong = run("status", key="another-key-of-nobody")
    assert (wrong.returncode, wrong.stderr.startswith("invalid_api_key: ")) == (2, True)
