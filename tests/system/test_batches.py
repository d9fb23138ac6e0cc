"""Tests of a runner that makes batches, as on a GPU, with real processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from bentos.demo import photos
from bentos.demo.embedded import SERVICE
from tests.system.conftest import running


def test_images_of_one_batch_get_their_own_answers_and_only_a_broken_one_fails(tmp_path: Path) -> None:
    group = photos.group_photo().read_bytes()
    sent = {"group.jpg": group, "cup.png": photos.coffee_cup().read_bytes(), "cut.jpg": group[:-5000]}
    with running(SERVICE, tmp_path, RUNNER_MAX_BATCH_SIZE="8", RUNNER_WORKERS="1") as live:

        def detect(name: str) -> tuple[str, int, str]:
            with live.client() as client:
                answer: httpx.Response = client.post("/detect_faces/", files={"file": sent[name]})
            return name, answer.status_code, answer.json().get("error", "faces")

        with ThreadPoolExecutor(6) as pool:
            answers = set(pool.map(detect, [*sent] * 4))
    assert answers == {
        ("group.jpg", 200, "faces"),
        ("cup.png", 422, "no_faces_detected"),
        ("cut.jpg", 400, "invalid_image_format"),
    }
