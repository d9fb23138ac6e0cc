"""With each self-check of a private interface forced to fail, the service works in the documented way and says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bentos.demo import photos
from bentos.demo.embedded import embedded_environment
from bentos.domain.faces import BoundingBox
from tests.system.conftest import KEY, Live, running
from tests.system.other_libraries import CHANGES

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SERVICE = "tests.system.other_libraries:FaceSearch"


@dataclass(frozen=True)
class Expected:
    """What the service writes to its log, once, and the settings that it needs."""

    warning: str
    settings: dict[str, str] = field(default_factory=dict)
    transport: str = "socket"


OFF = {"CONNECTION_LIMITS": "off"}
EXPECTED = {
    "runner map": Expected(
        "the runner is called by BentoML's client, which is slower: BENTOML_RUNNER_MAP holds no address of",
        transport="bentoml",
    ),
    "batch_infer": Expected(
        "the runner is called by BentoML's client, which is slower: BentoML's batch_infer takes other arguments",
        {"RUNNER_MAX_BATCH_SIZE": "8"},
        transport="bentoml",
    ),
    "pymilvus": Expected("milvus is searched through pymilvus' client, which is slower"),
    "milvus lite": Expected("the Milvus Lite file stays open until this process ends"),
    "http protocol": Expected("connections are not limited in time and size", OFF),
    "signal handler": Expected("connections are not limited in time and size", OFF),
    "swagger ui": Expected("/docs shows the OpenAPI document as text"),
}


TOGETHER = (
    ("runner map", "pymilvus", "swagger ui"),
    ("batch_infer", "milvus lite"),
    ("http protocol", "signal handler"),
)
"""Changes of different libraries, or of the same check, in one service: a start takes longer than the rest."""


def test_every_change_has_a_test() -> None:
    assert EXPECTED.keys() == CHANGES.keys() == {name for names in TOGETHER for name in names}


@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
def test_the_service_works_in_the_documented_way_and_says_so_once(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    expected = [EXPECTED[name] for name in names]
    settings = {key: value for each in expected for key, value in each.settings.items()}
    with running(SERVICE, tmp_path, LOOKS_DIFFERENT=",".join(names), **settings) as live:
        works(live)
        metrics = httpx.get(live.url + "/metrics").text
        transport = expected[0].transport
        assert re.search(rf'face_search_runner_transport{{.*transport="{transport}"}} 1\.0', metrics)
        for each in expected:
            warnings = [line for line in live.log.read_text().splitlines() if each.warning in line]
            assert len(warnings) == 1
            assert '"level": "warning"' in warnings[0]


def works(live: Live) -> None:
    """The endpoints once each, and the errors that the runner finds."""
    selfie = photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))
    with live.client() as client:
        photo = client.post("/detect_faces/", files={"file": photos.astronaut().read_bytes()}).json()
        added = client.put("/add_face/", data={"face_id": photo["faces"][0]["face_id"]})
        assert added.status_code == 200, added.text
        found = client.post("/search/", files={"file": selfie}).json()
        assert [match["photo_id"] for match in found["results"]] == [photo["photo_id"]]
        crowd = client.post("/search/", files={"file": photos.group_photo().read_bytes()})
        assert (crowd.status_code, crowd.json()["error"]) == (422, "too_many_faces")
        broken = client.post("/search/", files={"file": b"no image"})
        assert (broken.status_code, broken.json()["error"]) == (400, "invalid_image_format")
        assert "/search/" in client.get("/docs").text
        assert client.delete(f"/remove/{photo['photo_id']}").json()["faces_removed"] == 1
        assert client.post("/search/", files={"file": selfie}).json()["results"] == []
    assert httpx.get(live.url + "/readyz").status_code == 200


def test_a_socket_that_is_required_and_not_possible_stops_the_start_in_one_sentence(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **embedded_environment(tmp_path, KEY),
        "RUNNER_TRANSPORT": "socket",
        "RUNNER_MAX_BATCH_SIZE": "8",
        "LOOKS_DIFFERENT": "batch_infer",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", SERVICE, "--port", "0"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "RUNNER_TRANSPORT=socket is not possible: BentoML's batch_infer" in ended.stderr
    assert "Traceback" not in ended.stderr
