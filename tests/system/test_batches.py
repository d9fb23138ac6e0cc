"""Tests of a runner that makes batches, as on a GPU, with real processes."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from bentos.demo import photos
from bentos.demo.embedded import SERVICE
from tests.system.conftest import running


@pytest.mark.parametrize("fixed_shapes", ["on", "off"])
@pytest.mark.parametrize("transport", ["socket", "bentoml"])
def test_images_of_one_batch_get_their_own_answers_and_only_a_broken_one_fails(
    tmp_path: Path, transport: str, fixed_shapes: str
) -> None:
    group = photos.group_photo().read_bytes()
    sent = {"group.jpg": group, "cup.png": photos.coffee_cup().read_bytes(), "cut.jpg": group[:-5000]}
    settings = {"RUNNER_MAX_BATCH_SIZE": "8", "RUNNER_WORKERS": "1", "RUNNER_TRANSPORT": transport}
    settings["RUNNER_FIXED_SHAPES"] = fixed_shapes
    with running(SERVICE, tmp_path, **settings) as live:

        def detect(name: str) -> tuple[str, int, str]:
            with live.client() as client:
                answer: httpx.Response = client.post("/detect_faces/", files={"file": sent[name]})
            return name, answer.status_code, answer.json().get("error", "faces")

        with ThreadPoolExecutor(6) as pool:
            answers = set(pool.map(detect, [*sent] * 4))
        metrics = httpx.get(live.url + "/metrics").text
    assert answers == {
        ("group.jpg", 200, "faces"),
        ("cup.png", 422, "no_faces_detected"),
        ("cut.jpg", 400, "invalid_image_format"),
    }
    assert f'runner_transport{{adaptive_batching="on",transport="{transport}"}} 1.0' in metrics
    images, batches_of_one = (
        float(re.search(rf"^face_search_batch_size_{line} (\S+)$", metrics, re.MULTILINE)[1])  # type: ignore[index]
        for line in ("count", r'bucket\{le="1.0"\}')
    )
    assert images == 12
    assert batches_of_one < images  # some were put together
